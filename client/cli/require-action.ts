import { AshlarError } from "../../shared/base/errors.ts";

/**
 * Returns the action of a command that has several. `command` is its name: "server token".
 *
 * @throws {AshlarError} INVALID_ARGUMENT
 */
export function requireAction<Action extends string>(
  command: string,
  text: string,
  actions: readonly Action[],
): Action {
  const found = actions.find((action) => action === text);
  if (found !== undefined) return found;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot run "${command}": expected one of ${actions.join(", ")}: current value is "${text}"`,
  );
}
