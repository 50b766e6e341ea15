import { AshlarError } from "../../shared/base/errors.ts";

/** Returns the action of a command that has several. @throws {AshlarError} INVALID_ARGUMENT */
export function requireAction<Action extends string>(
  text: string,
  actions: readonly Action[],
): Action {
  const found = actions.find((action) => action === text);
  if (found !== undefined) return found;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Unknown action: ${text}: expected one of ${actions.join(", ")}`,
  );
}
