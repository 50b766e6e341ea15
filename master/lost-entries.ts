import { AshlarError } from "../shared/base/errors.ts";

/**
 * What an operator does with a master whose log is damaged or has lost entries. The directory may be the only one
 * with some acknowledged changes, see docs/decisions/0023-end-of-the-log.md.
 */
export const REPLACE_HINT =
  "Keep this directory: it can have changes that the other masters lack. Do not remove a file of it to start this master: it would lose votes that it has given. While a majority of the other masters runs, replace this master: ashlar master add ID=HOST:PORT --replace OLD-ID, with a new id and an empty directory. See 'The log of a master is damaged or has lost its end' in docs/operations.md";

/** Returns the error of a master that has lost entries that it had acknowledged. */
export function entriesLost(message: string): AshlarError {
  return new AshlarError("LOG_CORRUPT", message, { hint: REPLACE_HINT });
}
