import { isAshlarError } from "../../shared/base/errors.ts";
import { shellWord } from "../../shared/display/shell-word.ts";
import type { CommandContext } from "./command.ts";
import { statOrNull } from "./exists.ts";
import { withHint } from "./with-hint.ts";

const SLASH = 0x2f;

/**
 * Runs a write to `target`. If it fails because the parent directory of `target` does not exist, the
 * error has the command that makes this directory as its hint.
 */
export async function withParentHint<Result>(
  context: CommandContext,
  target: Uint8Array,
  write: () => Promise<Result>,
): Promise<Result> {
  try {
    return await write();
  } catch (error) {
    if (!isAshlarError(error, "NOT_FOUND") || context.signal.aborted) throw error;
    const parent = target.subarray(0, Math.max(1, target.lastIndexOf(SLASH)));
    const { signal } = context;
    // The missing path can also be the source. Without an answer the error has no hint.
    const found = await statOrNull(await context.fileSystem(), parent, { signal }).catch(
      () => error,
    );
    throw found === null ? withHint(error, `ashlar mkdir -p ${shellWord(parent)}`) : error;
  }
}
