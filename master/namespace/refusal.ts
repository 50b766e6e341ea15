import { AshlarError, type ErrorCode } from "../../shared/base/errors.ts";
import { displayName, joinPath } from "../../shared/base/path.ts";
import { type PathErrorCode, pathErrorMessage } from "../../shared/base/path-errors.ts";
import { type ByteText, nameBytes } from "./keys.ts";

/**
 * A command or a query that cannot be granted as the state is. Thrown while it is checked, caught
 * where it entered: a command's becomes an outcome, a query's an `AshlarError`. A class of its own,
 * so that no error of the world below (a disk's) is ever taken for an answer that replicas share.
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

/** Returns a refusal that concerns one path. @param path as `showTarget` or `showPath` return it */
export function pathRefusal(
  code: PathErrorCode,
  path: string,
  details: Readonly<Record<string, unknown>> = {},
): Refusal {
  return new Refusal(code, pathErrorMessage(code, path), details);
}

/** Runs a query: what the state refuses is an error to the caller. */
export function runQuery<T>(query: () => T): T {
  try {
    return query();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const { code, message, details } = error;
    throw new AshlarError(code, message, { cause: error, details });
  }
}

/** Names of a path that a message shows; a longer one loses its middle. */
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
