import type { FileSystem } from "../file-system.ts";
import type { Output } from "./output.ts";
import type { Settings } from "./settings.ts";

/** What a command gets beside its own arguments and options. */
export interface CommandContext {
  readonly output: Output;
  /** Aborts at Ctrl-C, at SIGTERM, at --deadline and when nobody reads stdout any more. */
  readonly signal: AbortSignal;
  /** --timeout for one call to the cluster. */
  readonly timeoutMs: number;
  /** Connects on first use; the runner disposes it. @throws {AshlarError} */
  fileSystem(): Promise<FileSystem>;
  /** The directory of the local cluster that --cluster or ASHLAR_CLUSTER names, or null. */
  clusterDirectory(): Promise<string | null>;
  /** Where cluster, colours, times and the rest came from. */
  readonly settings: Settings;
  /** All commands, for those that tell of them. */
  readonly commands: readonly CommandDefinition[];
}

/** Values of options as commander parses them, by camelCase name. */
export type OptionValues = Readonly<Record<string, unknown>>;

export type RunCommand = (
  context: CommandContext,
  commandArguments: readonly string[],
  options: OptionValues,
) => Promise<void>;

export interface OptionDefinition {
  /** As commander takes it: "-p, --parents", "--limit <count>". */
  readonly flags: string;
  readonly description: string;
  readonly default?: string | number | boolean;
  /** Parses the text. @throws {AshlarError} INVALID_ARGUMENT */
  readonly parse?: (text: string) => unknown;
  readonly choices?: readonly string[];
  /** Its value is how often it was given. */
  readonly isCounted?: boolean;
}

/** One command, without what it imports: the table of all of them is read at every start. */
export interface CommandDefinition {
  /** "ls", or "cluster up" for a command of a group. */
  readonly name: string;
  readonly summary: string;
  /** As commander takes them: "<source...> <target>". */
  readonly arguments?: string;
  /** Shown instead of `arguments`, for what commander cannot say. */
  readonly usage?: string;
  readonly options?: readonly OptionDefinition[];
  /** Shown first in --help: [command line, what it does]. */
  readonly examples: readonly (readonly [string, string])[];
  readonly load: () => Promise<{ readonly run: RunCommand }>;
}
