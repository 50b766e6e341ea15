import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import { formatTime } from "../../shared/display/format.ts";
import type { AsOf, ReadModeName, ReadOptions } from "../options.ts";
import type { CommandContext, OptionValues } from "./command.ts";

/**
 * Returns the options of --at and --read-mode for every read of a command. A time is resolved to an
 * index once, so that the whole command reads one state.
 *
 * @throws {AshlarError} INDEX_EXPIRED with the oldest state in the hint
 */
export async function readOptionsOf(
  context: CommandContext,
  options: OptionValues,
): Promise<ReadOptions> {
  const { signal } = context;
  const readMode = options["readMode"] as ReadModeName | undefined;
  const current = { signal, ...(readMode === undefined ? {} : { readMode }) };
  const at = options["at"] as AsOf | undefined;
  if (at === undefined) return current;
  return { ...current, at: await resolveAsOf(context, at) };
}

/**
 * Returns the log index for `at`.
 *
 * @throws {AshlarError} INDEX_EXPIRED with the oldest state in the hint
 */
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
  const requested = typeof at === "number" ? `index ${at}` : "that time";
  return new AshlarError(
    "INDEX_EXPIRED",
    `Cannot read as of ${requested}: expected index ${oldestIndex} (${formatTime(oldestTimeMs)}) or later: older states are no longer kept`,
    { cause: error, details: error.details, hint: `--at ${oldestIndex} is the oldest state` },
  );
}
