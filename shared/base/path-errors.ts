import type { ErrorCode } from "./errors.ts";

/** The messages of strerror(3) for the errors that concern one path. */
const PATH_ERROR_WORDS = {
  NOT_FOUND: "No such file or directory",
  ALREADY_EXISTS: "File exists",
  NOT_A_DIRECTORY: "Not a directory",
  IS_A_DIRECTORY: "Is a directory",
  NOT_EMPTY: "Directory not empty",
} as const satisfies Partial<Record<ErrorCode, string>>;

/** Codes whose message consists of a message of strerror(3) and a path. */
export type PathErrorCode = keyof typeof PATH_ERROR_WORDS;

/**
 * Returns the message of an error about one path, in the words of Unix:
 * `No such file or directory: /a`.
 *
 * @param path as `displayName` shows it: one line, unambiguous
 */
export function pathErrorMessage(code: PathErrorCode, path: string): string {
  return `${PATH_ERROR_WORDS[code]}: ${path}`;
}

/** Returns whether the errors with this code concern one path. */
export function isPathErrorCode(code: ErrorCode): code is PathErrorCode {
  return Object.hasOwn(PATH_ERROR_WORDS, code);
}
