import { AshlarError, type ErrorCode } from "../base/errors.ts";
import { errnoWords } from "./errno-words.ts";

/** Returns the errno name of a failed system call ("ENOENT"), or "unknown". */
export function errnoOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : "unknown";
}

function codeOf(errno: string): ErrorCode {
  switch (errno) {
    case "ENOENT":
      return "NOT_FOUND";
    case "EEXIST":
      return "ALREADY_EXISTS";
    case "ENOSPC":
    case "EDQUOT":
      return "NO_SPACE";
    default:
      return "DISK_FAILED";
  }
}

/** Returns the error of the Disk port for a system call on `path` that failed with `cause`. */
export function diskError(action: string, path: string, cause: unknown): AshlarError {
  const errno = errnoOf(cause);
  return new AshlarError(codeOf(errno), `Cannot ${action} ${path}: ${errnoWords(errno)}`, {
    cause,
    details: { path, errno },
  });
}
