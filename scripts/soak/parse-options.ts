import { parseArgs } from "node:util";
import { AshlarError } from "../../shared/base/errors.ts";

/** Options that every soak test has. */
export interface CommonOptions {
  readonly json: boolean;
  /** Whether the directory is kept even if the run succeeds. */
  readonly keep: boolean;
  /** Working directory of the process that runs inside the namespaces. Null in the outer process. */
  readonly inside: string | null;
}

const COMMON = {
  json: { type: "boolean" },
  keep: { type: "boolean" },
  inside: { type: "string" },
  help: { type: "boolean" },
} as const;

/** The values of the options of one soak test: texts, and whether a flag was given. */
type Values<Own> = {
  readonly [Name in keyof Own | keyof typeof COMMON]?: Name extends keyof Own
    ? ValueOf<Own[Name]>
    : Name extends keyof typeof COMMON
      ? ValueOf<(typeof COMMON)[Name]>
      : never;
};
type ValueOf<Option> = Option extends { readonly type: "boolean" } ? boolean : string;

/** Parses the words of a command line with the options of all soak tests. @throws {AshlarError} INVALID_ARGUMENT */
export function parseWords<const Own extends Readonly<Record<string, OptionType>>>(
  commandLine: readonly string[],
  own: Own,
): Values<Own> {
  try {
    const { values } = parseArgs({ args: [...commandLine], options: { ...own, ...COMMON } });
    return values as Values<Own>;
  } catch (error) {
    throw new AshlarError("INVALID_ARGUMENT", (error as Error).message, { cause: error });
  }
}

interface OptionType {
  readonly type: "boolean" | "string";
}

/** Returns the options that all soak tests have. */
export function commonOf(values: {
  readonly json?: boolean | undefined;
  readonly keep?: boolean | undefined;
  readonly inside?: string | undefined;
}): CommonOptions {
  const { json = false, keep = false, inside = null } = values;
  return { json, keep, inside };
}

/** Parses the value of an option with a number. @throws {AshlarError} INVALID_ARGUMENT */
export function amount(name: string, text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value >= 0) return value;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot use --${name}: expected a number of at least 0: current value is ${text}`,
  );
}
