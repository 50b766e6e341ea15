import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { AsOf, LookOptions, ReadModeName } from "../options.ts";
import type { CommandContext, OptionDefinition, OptionValues } from "./command.ts";
import { formatTime } from "./format.ts";
import { parseDurationMs } from "./parse-values.ts";

export const AT: OptionDefinition = {
  flags: "--at <when>",
  description: "as of a log index, a time (2026-11-21T09:00:00Z) or so long ago (2h)",
  parse: (text) => parseAsOf(text, "--at"),
};
export const READ_MODE: OptionDefinition = {
  flags: "--read-mode <mode>",
  description: "linearizable (default); session or stale: any master answers",
  choices: ["linearizable", "session", "stale"] satisfies ReadModeName[],
};

const INDEX = /^\d+$/;
/** ISO 8601 with a day; without a zone it is local time, as ECMA-262 has it. */
const DAY = /^\d{4}-\d{2}-\d{2}/;

/**
 * An index ("1234"), a time ("2026-11-21", "2026-11-21T09:00:00Z"), or a duration before now ("2h").
 *
 * @throws {AshlarError} INVALID_ARGUMENT naming `what`
 */
export function parseAsOf(text: string, what: string): AsOf {
  if (INDEX.test(text)) return Number(text);
  // A number without a unit is an index, so a duration has one.
  if (/[a-z]$/i.test(text) && !DAY.test(text)) return { agoMs: parseDurationMs(text, what) };
  const timeMs = DAY.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isFinite(timeMs)) return { timeMs };
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot use ${what}: expected an index, a time such as 2026-11-21T09:00:00Z or a duration such as 2h: got "${text}"`,
  );
}

/**
 * What --at and --read-mode ask of every call of a command. A time is resolved once, so that all
 * that the command shows is of one index.
 *
 * @throws {AshlarError} INDEX_EXPIRED with the oldest state in the hint
 */
export async function lookOf(context: CommandContext, options: OptionValues): Promise<LookOptions> {
  const { signal } = context;
  const readMode = options["readMode"] as ReadModeName | undefined;
  const look = { signal, ...(readMode === undefined ? {} : { readMode }) };
  const at = options["at"] as AsOf | undefined;
  if (at === undefined) return look;
  return { ...look, at: await resolveAsOf(context, at) };
}

/** The index that `at` names. @throws {AshlarError} INDEX_EXPIRED with the oldest state in the hint */
export async function resolveAsOf(context: CommandContext, at: AsOf): Promise<number> {
  const fileSystem = await context.fileSystem();
  try {
    const { index, timeMs } = await fileSystem.asOf(at, { signal: context.signal });
    context.output.detail(`as of index ${index}, ${formatTime(timeMs)}`);
    return index;
  } catch (error) {
    throw isAshlarError(error, "INDEX_EXPIRED") ? withOldest(error, at) : error;
  }
}

function withOldest(error: AshlarError, at: AsOf): AshlarError {
  const { oldestIndex, oldestTimeMs } = error.details;
  if (typeof oldestIndex !== "number" || typeof oldestTimeMs !== "number") return error;
  const wanted = typeof at === "number" ? `index ${at}` : "that time";
  return new AshlarError(
    "INDEX_EXPIRED",
    `Cannot read as of ${wanted}: expected index ${oldestIndex} (${formatTime(oldestTimeMs)}) or later: what was before is not kept`,
    { cause: error, details: error.details, hint: `--at ${oldestIndex} is the oldest state` },
  );
}
