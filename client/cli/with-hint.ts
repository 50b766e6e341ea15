import { AshlarError } from "../../shared/base/errors.ts";

/** Returns the error with another hint. */
export function withHint(error: AshlarError, hint: string): AshlarError {
  const { code, message, details } = error;
  return new AshlarError(code, message, { cause: error, details, hint });
}
