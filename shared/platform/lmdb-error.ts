import { constants } from "node:os";
import { AshlarError, type ErrorCode } from "../base/errors.ts";
import { diskError, errnoOf } from "./disk-error.ts";
import { errnoWords } from "./errno-words.ts";

/** The range of LMDB's error codes, from MDB_KEYEXIST (-30799). Positive codes are errno values. */
const LMDB_CODE_MIN = -30799;
const LMDB_CODE_MAX = -30700;
/** MDB_MAP_FULL and MDB_READERS_FULL: limits that do not mean damaged data. */
const LMDB_CODES_OF_LIMITS: readonly number[] = [-30792, -30790];

function codeOf(error: unknown): number | null {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "number" ? code : null;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function isSpace(code: number | null): boolean {
  return code === constants.errno.ENOSPC || code === constants.errno.EDQUOT;
}

function openErrorCode(code: number | null): ErrorCode {
  if (isSpace(code)) return "NO_SPACE";
  const isLmdbCode = code !== null && code >= LMDB_CODE_MIN && code <= LMDB_CODE_MAX;
  // STORE_CORRUPT makes the caller rebuild the store, so it is never used for a wrong file owner or
  // too many open files.
  return isLmdbCode && !LMDB_CODES_OF_LIMITS.includes(code) ? "STORE_CORRUPT" : "DISK_FAILED";
}

/** Returns the error for a file in the directory of the store `path` that cannot be changed. */
export function storeFileError(
  { path, action, file }: { readonly path: string; readonly action: string; readonly file: string },
  cause: unknown,
): AshlarError {
  const { code, details } = diskError(action, file, cause);
  const reason = errnoWords(errnoOf(cause));
  return new AshlarError(
    code,
    `Cannot open the store ${path}: expected to be able to ${action} the file ${file}: ${reason}`,
    {
      cause,
      details,
      hint: "Check the owner, the mode and the attributes (lsattr) of the file and its directory, and whether the disk is mounted read-only",
    },
  );
}

/**
 * Returns the error for an environment that cannot be opened: STORE_CORRUPT, NO_SPACE or
 * DISK_FAILED.
 */
export function lmdbOpenError(path: string, cause: unknown): AshlarError {
  const message = `Cannot open the store ${path}: ${messageOf(cause)}`;
  return new AshlarError(openErrorCode(codeOf(cause)), message, { cause });
}

/**
 * Returns the error for a commit that failed: NO_SPACE if the process can continue, else
 * DISK_FAILED.
 *
 * The reason is in `commitError` of lmdb's error. That promise rejects, so it must be awaited, or
 * Node ends the process because of an unhandled rejection.
 */
export async function lmdbCommitError(
  { path, isFull }: { readonly path: string; readonly isFull: boolean },
  error: unknown,
): Promise<AshlarError> {
  if (error instanceof AshlarError) return error;
  let cause = error;
  try {
    await (error as { commitError?: PromiseLike<unknown> } | null)?.commitError;
  } catch (reason) {
    cause = reason;
  }
  const errno = codeOf(cause);
  const isNoSpace = isSpace(errno) || (errno === constants.errno.EIO && isFull);
  const message = `Cannot commit to the store ${path}: ${messageOf(cause)}`;
  return new AshlarError(isNoSpace ? "NO_SPACE" : "DISK_FAILED", message, { cause });
}
