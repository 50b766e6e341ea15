import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import { formatTime } from "../../shared/display/format.ts";
import type { AsOf, ReadModeName, ReadOptions } from "../options.ts";
import type { CommandContext, OptionValues } from "./command.ts";

/**
 * What --at and --read-mode ask of every call of a command. A time is resolved once, so that all
 * that the command shows is of one index.
 *
 * @throws {AshlarError} INDEX_EXPIRED with the oldest state in the hint
 */
export async function readOptionsOf(
  context: CommandContext,
  options: OptionValues,
): Promise<ReadOptions> {
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
