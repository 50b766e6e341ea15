/** Whether a caller may repeat a call that failed. */
export type RetryClass =
  /** The same call fails again until the caller changes something. */
  | "never"
  /** The call had no effect. It may be repeated immediately, at the same or another server. */
  | "safe"
  /**
   * The call may have taken effect. Only an idempotent call (one under a session) may be repeated.
   */
  | "idempotent-only";

/** The columns of `ERROR_CODES`. */
export interface ErrorTraits {
  readonly httpStatus: number;
  /** The nearest errno name (errno(3)), for the mount and for `fs`-like callers. */
  readonly errno: string;
  readonly retry: RetryClass;
  /** Exit status of the CLI; the table is in docs/exit-codes.md. */
  readonly exitStatus: number;
}

/** Every error that can cross a process boundary. docs/errors.md has one heading per code. */
export const ERROR_CODES = {
  // Invalid requests.
  INVALID_ARGUMENT: { httpStatus: 400, errno: "EINVAL", retry: "never", exitStatus: 2 },
  NAME_TOO_LONG: { httpStatus: 400, errno: "ENAMETOOLONG", retry: "never", exitStatus: 2 },
  UNSUPPORTED: { httpStatus: 501, errno: "ENOTSUP", retry: "never", exitStatus: 2 },
  // The namespace, with the meanings of POSIX.
  NOT_FOUND: { httpStatus: 404, errno: "ENOENT", retry: "never", exitStatus: 3 },
  ALREADY_EXISTS: { httpStatus: 409, errno: "EEXIST", retry: "never", exitStatus: 6 },
  NOT_A_DIRECTORY: { httpStatus: 409, errno: "ENOTDIR", retry: "never", exitStatus: 6 },
  IS_A_DIRECTORY: { httpStatus: 409, errno: "EISDIR", retry: "never", exitStatus: 6 },
  NOT_EMPTY: { httpStatus: 409, errno: "ENOTEMPTY", retry: "never", exitStatus: 6 },
  PRECONDITION_FAILED: { httpStatus: 412, errno: "ESTALE", retry: "never", exitStatus: 6 },
  TOO_LARGE: { httpStatus: 413, errno: "EFBIG", retry: "never", exitStatus: 6 },
  PERMISSION_DENIED: { httpStatus: 403, errno: "EACCES", retry: "never", exitStatus: 4 },
  // Sessions and reads.
  SESSION_EXPIRED: { httpStatus: 409, errno: "ESTALE", retry: "never", exitStatus: 9 },
  INDEX_EXPIRED: { httpStatus: 410, errno: "ESTALE", retry: "never", exitStatus: 6 },
  // Chunks.
  CHUNKS_MISSING: { httpStatus: 409, errno: "EAGAIN", retry: "never", exitStatus: 6 },
  CHUNK_NOT_FOUND: { httpStatus: 404, errno: "ENODATA", retry: "never", exitStatus: 7 },
  CHUNK_CORRUPT: { httpStatus: 500, errno: "EIO", retry: "never", exitStatus: 7 },
  NO_GOOD_REPLICA: { httpStatus: 503, errno: "EIO", retry: "safe", exitStatus: 7 },
  NO_SPACE: { httpStatus: 507, errno: "ENOSPC", retry: "never", exitStatus: 6 },
  TOO_FEW_CHUNKSERVERS: { httpStatus: 503, errno: "ENOSPC", retry: "safe", exitStatus: 5 },
  WRITE_CHAIN_FAILED: { httpStatus: 503, errno: "EIO", retry: "safe", exitStatus: 5 },
  INTENT_EXPIRED: { httpStatus: 409, errno: "ESTALE", retry: "never", exitStatus: 5 },
  SOURCE_CHANGED: { httpStatus: 409, errno: "EBUSY", retry: "never", exitStatus: 1 },
  DISK_FAILED: { httpStatus: 500, errno: "EIO", retry: "never", exitStatus: 1 },
  // The cluster and the wire.
  NOT_LEADER: { httpStatus: 421, errno: "EAGAIN", retry: "safe", exitStatus: 5 },
  NO_LEADER: { httpStatus: 503, errno: "EAGAIN", retry: "safe", exitStatus: 5 },
  COMMIT_UNKNOWN: { httpStatus: 503, errno: "EAGAIN", retry: "idempotent-only", exitStatus: 9 },
  OVERLOADED: { httpStatus: 503, errno: "EAGAIN", retry: "safe", exitStatus: 5 },
  UNAVAILABLE: { httpStatus: 503, errno: "ECONNREFUSED", retry: "safe", exitStatus: 5 },
  CONNECTION_LOST: {
    httpStatus: 503,
    errno: "ECONNRESET",
    retry: "idempotent-only",
    exitStatus: 5,
  },
  DEADLINE_EXCEEDED: {
    httpStatus: 504,
    errno: "ETIMEDOUT",
    retry: "idempotent-only",
    exitStatus: 124,
  },
  CANCELLED: { httpStatus: 499, errno: "ECANCELED", retry: "idempotent-only", exitStatus: 130 },
  WRONG_CLUSTER: { httpStatus: 403, errno: "EACCES", retry: "never", exitStatus: 2 },
  WRONG_ROLE: { httpStatus: 403, errno: "EPROTO", retry: "never", exitStatus: 2 },
  WRONG_IDENTITY: { httpStatus: 403, errno: "EACCES", retry: "never", exitStatus: 2 },
  NOT_ENROLLED: { httpStatus: 403, errno: "EACCES", retry: "never", exitStatus: 4 },
  VERSION_MISMATCH: { httpStatus: 426, errno: "EPROTO", retry: "never", exitStatus: 2 },
  PROTOCOL_ERROR: { httpStatus: 400, errno: "EPROTO", retry: "never", exitStatus: 1 },
  ADDRESS_IN_USE: { httpStatus: 500, errno: "EADDRINUSE", retry: "never", exitStatus: 2 },
  // Membership of the masters.
  MASTER_REMOVED: { httpStatus: 410, errno: "EAGAIN", retry: "safe", exitStatus: 5 },
  CHANGE_UNDER_WAY: { httpStatus: 409, errno: "EAGAIN", retry: "safe", exitStatus: 5 },
  MEMBER_UNKNOWN: { httpStatus: 404, errno: "ENXIO", retry: "never", exitStatus: 3 },
  MEMBER_UNREACHABLE: { httpStatus: 503, errno: "EHOSTUNREACH", retry: "never", exitStatus: 5 },
  MEMBER_BEHIND: { httpStatus: 409, errno: "EBUSY", retry: "never", exitStatus: 6 },
  MAJORITY_AT_RISK: { httpStatus: 409, errno: "EBUSY", retry: "never", exitStatus: 6 },
  // State of this process on disk.
  LOG_CORRUPT: { httpStatus: 500, errno: "EIO", retry: "never", exitStatus: 7 },
  STORE_CORRUPT: { httpStatus: 500, errno: "EIO", retry: "never", exitStatus: 7 },
  STATE_DIVERGED: { httpStatus: 500, errno: "EIO", retry: "never", exitStatus: 7 },
  INTERNAL: { httpStatus: 500, errno: "EIO", retry: "never", exitStatus: 1 },
} as const satisfies Record<string, ErrorTraits>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** The optional parts of an `AshlarError`. */
export interface AshlarErrorOptions {
  readonly cause?: unknown;
  /** A command or a setting that helps the user. Shown on its own line. */
  readonly hint?: string;
  /** Machine-readable facts (a path, an address, a leader hint). Plain msgpack values. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/**
 * A failure outside of the code: a disk, a peer, a deadline, invalid input, a refused command.
 *
 * A message has a capital and no full stop. It names the action, the expectation and the actual
 * value: `Cannot <action>: expected <…>: current value is <…>`.
 */
export class AshlarError extends Error {
  /** "AbortError" for CANCELLED, as in the rest of Node and the web. Else "AshlarError". */
  override readonly name: "AshlarError" | "AbortError";
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: AshlarErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = code === "CANCELLED" ? "AbortError" : "AshlarError";
    this.code = code;
    this.hint = options.hint;
    this.details = options.details ?? {};
  }

  get retry(): RetryClass {
    return ERROR_CODES[this.code].retry;
  }

  get errno(): string {
    return ERROR_CODES[this.code].errno;
  }
}

/** Returns whether `error` is an `AshlarError`, and has `code` if one is given. */
export function isAshlarError(error: unknown, code?: ErrorCode): error is AshlarError {
  return error instanceof AshlarError && (code === undefined || error.code === code);
}

/** An error on the wire and in `--json` output: without stack and cause. */
export interface ErrorData {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint?: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

/**
 * Returns the data of `error` for another process. An error that is not an `AshlarError` becomes
 * INTERNAL, without its stack.
 */
export function toErrorData(error: unknown): ErrorData {
  if (!(error instanceof AshlarError)) {
    return { code: "INTERNAL", message: error instanceof Error ? error.message : String(error) };
  }
  return {
    code: error.code,
    message: error.message,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(Object.keys(error.details).length === 0 ? {} : { details: error.details }),
  };
}

/** Returns the error that `data` describes. A code unknown to this version becomes INTERNAL. */
export function fromErrorData(data: ErrorData): AshlarError {
  const code = Object.hasOwn(ERROR_CODES, data.code) ? data.code : "INTERNAL";
  return new AshlarError(code, data.message, {
    ...(data.hint === undefined ? {} : { hint: data.hint }),
    ...(data.details === undefined ? {} : { details: data.details }),
  });
}
