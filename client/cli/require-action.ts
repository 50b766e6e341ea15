import { assert } from "../../shared/base/assert.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import type { OptionValues } from "./command.ts";

/**
 * Returns the action of a command that has several: `checkArguments` has refused any other. `command` is
 * its name: "server token". `optionsOf` contains, for each action, the names of the options that it
 * uses, without the dashes.
 *
 * @throws {AshlarError} INVALID_ARGUMENT for an option that only other actions use: the caller expects
 *   an effect that it would not have
 */
export function requireAction<Action extends string>(
  command: string,
  given: { readonly action: string; readonly options: OptionValues },
  optionsOf: Readonly<Record<Action, readonly string[]>>,
): Action {
  const actions = Object.keys(optionsOf) as Action[];
  const action = actions.find((each) => each === given.action);
  assert(action !== undefined, "the table of commands lists the actions of a command");
  for (const option of new Set(actions.flatMap((each) => optionsOf[each]))) {
    if (given.options[option] === undefined || optionsOf[action].includes(option)) continue;
    const users = actions.filter((each) => optionsOf[each].includes(option));
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot use --${option} with "${command} ${action}": expected the action ${users.join(" or ")}`,
    );
  }
  return action;
}
