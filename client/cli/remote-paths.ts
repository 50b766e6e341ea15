import { AshlarError } from "../../shared/base/errors.ts";
import { displayName, endOfPath, joinPath, parsePath, tidyPath } from "../../shared/base/path.ts";
import { bytesOfText } from "./argument-text.ts";

const SCHEME = "ashlar:";

/** A path in the cluster. */
export interface RemotePath {
  readonly bytes: Uint8Array;
  /** The path as `displayName` shows it. */
  readonly text: string;
}

/** Returns the path of `bytes`. The bytes must be a valid absolute path. */
export function remotePath(bytes: Uint8Array): RemotePath {
  return { bytes, text: displayName(bytes) };
}

/**
 * Parses an argument as a path in the cluster. `ashlar:/a` and `/a` are the same path.
 *
 * @throws {AshlarError} INVALID_ARGUMENT if it is not absolute
 */
export function parseRemotePath(argument: string): RemotePath {
  return remotePath(joinPath(parsePath(bytesOfText(withoutScheme(argument)))));
}

/**
 * Parses an argument as `parseRemotePath` does, but keeps a slash at its end: the library then fails
 * with NOT_A_DIRECTORY if the path leads to a file. The result is not extended with names.
 */
export function parseExactPath(argument: string): RemotePath {
  return remotePath(tidyPath(bytesOfText(withoutScheme(argument))));
}

/** Returns an argument without `ashlar:`. */
export function withoutScheme(argument: string): string {
  return argument.startsWith(SCHEME) ? argument.slice(SCHEME.length) : argument;
}

/** Returns whether an argument ends with a slash, `/.` or `/..`, which mean a directory. */
export function namesDirectory(argument: string): boolean {
  return endOfPath(bytesOfText(withoutScheme(argument))) !== "name";
}

/** Returns whether an argument ends with `/.`, which means the entries of a directory. */
export function namesContents(argument: string): boolean {
  return argument.endsWith("/.");
}

/**
 * Refuses arguments whose last name is `.` or `..`, as rm(1), rmdir(1) and mv(1) do. Without the
 * dots, such a path names another directory than the user meant.
 *
 * @param action "remove"
 * @throws {AshlarError} INVALID_ARGUMENT
 */
export function refuseDotNames(commandArguments: readonly string[], action: string): void {
  for (const argument of commandArguments) {
    const path = bytesOfText(argument);
    if (endOfPath(path) !== "dots") continue;
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot ${action} ${displayName(path)}: expected a last name that is not "." or ".."`,
    );
  }
}

/** Returns `directory`/`name`. */
export function childPath(directory: Uint8Array, name: Uint8Array): Uint8Array {
  const isRoot = directory.length === 1;
  const path = new Uint8Array((isRoot ? 0 : directory.length) + 1 + name.length);
  if (!isRoot) path.set(directory);
  path[path.length - name.length - 1] = 0x2f;
  path.set(name, path.length - name.length);
  return path;
}

/** Returns the last name of a path; empty for the root. */
export function baseName(path: Uint8Array): Uint8Array {
  return path.subarray(path.lastIndexOf(0x2f) + 1);
}

/** Returns whether a path is below a directory that is not the root. */
export function isBelow(path: Uint8Array, directory: Uint8Array): boolean {
  if (path[directory.length] !== 0x2f) return false;
  return Buffer.compare(path.subarray(0, directory.length), directory) === 0;
}
