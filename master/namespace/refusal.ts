import { AshlarError, type ErrorCode } from "../../shared/base/errors.ts";
import { displayName, joinPath } from "../../shared/base/path.ts";
import { type PathErrorCode, pathErrorMessage } from "../../shared/base/path-errors.ts";
import { type ByteText, nameBytes } from "./keys.ts";

/**
 * The refusal of a command or a query because of the current state. The checks throw it. The entry
 * point of a command turns it into an `Outcome`, the entry point of a query into an `AshlarError`.
 *
 * This class is separate from `AshlarError`, so that an error of the disk or the process is never
 * mistaken for an outcome, which must be the same on every member. Outcomes are stored in the
 * state, so the message of a refused command is part of the replicated bytes.
 */
export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, details: Readonly<Record<string, unknown>> = {}) {
    super(message);
    this.code = code;
    this.details = details;
  }
}

/**
 * Returns a refusal that concerns one path.
 *
 * @param path the text that `showTarget` or `showPath` returns
 */
export function pathRefusal(
  code: PathErrorCode,
  path: string,
  details: Readonly<Record<string, unknown>> = {},
): Refusal {
  return new Refusal(code, pathErrorMessage(code, path), details);
}

/** Runs a query and turns its refusal into an `AshlarError`. */
export function runQuery<T>(query: () => T): T {
  try {
    return query();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const { code, message, details } = error;
    throw new AshlarError(code, message, { cause: error, details });
  }
}

/** Bound of the names of a path in a message. The middle of a longer path is replaced by "...". */
const SHOWN_NAMES_MAX = 40;

/** Returns the path of `names` for a message. */
export function showPath(names: readonly ByteText[]): string {
  return displayName(joinPath(shownNames(names).map(nameBytes)));
}

function shownNames(names: readonly ByteText[]): readonly ByteText[] {
  if (names.length <= SHOWN_NAMES_MAX) return names;
  const half = SHOWN_NAMES_MAX / 2;
  return [...names.slice(0, half), "...", ...names.slice(-half)];
}
