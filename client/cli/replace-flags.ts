import type { OptionDefinition, OptionValues } from "./command.ts";
import { invalidOptions } from "./parse-values.ts";

/**
 * Treatment of a target that exists. One rule holds for every command: a target is
 * replaced only on request.
 *
 * - `refuse`: the item fails with ALREADY_EXISTS
 * - `replace`: --force
 * - `skip`: --no-clobber; a skipped item does not count as a failure
 * - `ask`: --interactive; "no" skips
 */
export type ReplaceRule = "refuse" | "replace" | "skip" | "ask";

/** The options of `replaceRuleOf`. */
export const REPLACE_OPTIONS: readonly OptionDefinition[] = [
  { flags: "-f, --force", description: "replace targets that exist" },
  { flags: "-n, --no-clobber", description: "skip targets that exist, with status 0" },
  { flags: "-i, --interactive", description: "ask before a target that exists is replaced" },
];

/** The hint of an error about a target that exists. */
export const REPLACE_HINT = "--force replaces what exists, --no-clobber skips it";

/**
 * Returns the rule that the options select. `--resume` of put and get replaces, too: files with the
 * same content are skipped before the rule applies.
 *
 * @throws {AshlarError} INVALID_ARGUMENT if the options select more than one rule
 */
export function replaceRuleOf(options: OptionValues): ReplaceRule {
  const rules: ReplaceRule[] = [];
  if (options["force"] === true || options["resume"] === true) rules.push("replace");
  if (options["clobber"] === false) rules.push("skip");
  if (options["interactive"] === true) rules.push("ask");
  if (rules.length <= 1) return rules[0] ?? "refuse";
  const also = options["resume"] === true ? ", with --resume only --force" : "";
  throw invalidOptions(
    `one of --force, --no-clobber and --interactive${also}`,
    `${rules.length} rules`,
  );
}
