import { constants } from "node:os";
import { AshlarError, type ErrorCode } from "../base/errors.ts";

/** MDB_KEYEXIST (-30799) up to the highest of LMDB's own codes; what is above 0 is an errno. */
const LMDB_CODE_MIN = -30799;
const LMDB_CODE_MAX = -30700;
/** MDB_MAP_FULL and MDB_READERS_FULL say nothing against the data. */
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
  // STORE_CORRUPT makes the owner rebuild the store: never for a wrong owner or too many files.
  return isLmdbCode && !LMDB_CODES_OF_LIMITS.includes(code) ? "STORE_CORRUPT" : "DISK_FAILED";
}

/** The error for an environment that cannot be opened. */
export function lmdbOpenError(path: string, cause: unknown): AshlarError {
  const message = `Cannot open the store ${path}: ${messageOf(cause)}`;
  return new AshlarError(openErrorCode(codeOf(cause)), message, { cause });
}

/*
 * How lmdb words a page that the system would not write, and for how many bytes it has taken memory:
 * with large numbers, and what stands on the stack for buffers that there are not, the words are
 * longer (3.5.6, mdb.c, mdb_page_flush). Seen as "corrupted size vs. prev_size" and SIGABRT.
 */
const WORDS_OF_PAGE = "Attempting to write page";
const WORDS_BYTES = 100;

/** Whether lmdb wrote beyond its memory when it worded `text`. */
function isMemoryDamaged(text: string): boolean {
  const start = text.indexOf(WORDS_OF_PAGE);
  return start >= 0 && text.length - start + 1 > WORDS_BYTES;
}

/**
 * The error for a commit that failed. NO_SPACE only if the process may go on. The reason stands in `commitError` of lmdb's error: a promise
 * that rejects, which must be awaited, or Node ends the process for an unhandled rejection.
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
  if (isMemoryDamaged(messageOf(cause))) {
    return new AshlarError("DISK_FAILED", message, {
      cause,
      hint: "Start the process anew: lmdb may have damaged its memory",
    });
  }
  return new AshlarError(isNoSpace ? "NO_SPACE" : "DISK_FAILED", message, { cause });
}
