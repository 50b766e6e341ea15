import { type AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { CommandContext } from "./command.ts";
import { confirm } from "./confirm.ts";
import { REPLACE_HINT, type ReplaceRule } from "./replace-flags.ts";
import { withHint } from "./with-hint.ts";

/** A write whose target can exist. */
interface RuledWrite<Result> {
  readonly rule: ReplaceRule;
  /** The target as people read it. */
  readonly target: string;
  /**
   * Writes the target in one step, and replaces an existing target only if `replace` is true:
   * otherwise it throws ALREADY_EXISTS and has changed nothing.
   */
  readonly write: (replace: boolean) => Promise<Result>;
}

/**
 * Writes a target under the rule for targets that exist. The writer itself detects the target, so
 * no target that appears in the meantime is lost. With the rule `ask`, run one write at a time.
 *
 * @returns the result of the writer; null if the target exists and was skipped
 */
export async function writeByRule<Result>(
  context: CommandContext,
  { rule, target, write }: RuledWrite<Result>,
): Promise<Result | null> {
  try {
    return await write(rule === "replace");
  } catch (error) {
    if (!isAshlarError(error, "ALREADY_EXISTS")) throw error;
    if (rule === "refuse") throw withReplaceHint(error);
    if (rule === "replace") throw error;
    const isWanted = rule === "ask" && (await confirm(context, `Replace ${target}?`, REPLACE_HINT));
    if (isWanted) return await write(true);
    context.output.detail(`skipped ${target}: it exists`);
    return null;
  }
}

/** Returns the error with the options that replace or skip a target. */
export function withReplaceHint(error: AshlarError): AshlarError {
  return withHint(error, REPLACE_HINT);
}
