/** The messages of strerror(3) for the most frequent errors of system calls. */
const ERRNO_WORDS: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EADDRNOTAVAIL: "cannot assign requested address",
  EAI_AGAIN: "temporary failure in name resolution",
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection reset by peer",
  EEXIST: "file exists",
  EHOSTUNREACH: "no route to host",
  EISDIR: "is a directory",
  ENAMETOOLONG: "file name too long",
  ENETUNREACH: "network is unreachable",
  ENOENT: "no such file or directory",
  ENOSPC: "no space left on device",
  ENOTDIR: "not a directory",
  ENOTFOUND: "unknown host",
  EPERM: "operation not permitted",
  ETIMEDOUT: "connection timed out",
};

/**
 * Returns the message for the errno name of a system call, or the name if it has no message here.
 */
export function errnoWords(errno: string): string {
  return ERRNO_WORDS[errno] ?? errno;
}
