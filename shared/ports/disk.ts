/**
 * One data directory. Paths are relative to it, with "/" between names, and never leave it.
 *
 * Every failure is an `AshlarError`: NOT_FOUND, ALREADY_EXISTS, NO_SPACE (ENOSPC, EDQUOT), and
 * DISK_FAILED for the rest (EIO, EROFS, …), with the path in the message and the errno in the cause.
 */
export interface Disk {
  /**
   * Opens a file. `create` makes a new one and fails with ALREADY_EXISTS if there is one; the name
   * is durable only after `syncDirectory` of its directory.
   */
  open(path: string, mode: "read" | "read-write" | "create"): Promise<DiskFile>;
  /** The whole file. For small files only. @throws {AshlarError} NOT_FOUND */
  readFile(path: string): Promise<Uint8Array>;
  /**
   * Replaces a small file as one step: writes a temporary file, syncs it, renames it, syncs the
   * directory. Durable when it resolves; a crash leaves the old content or the new, whole.
   */
  writeFileDurably(path: string, bytes: Uint8Array): Promise<void>;
  /** Makes the directory and its parents; no error if it is there. Durable when it resolves. */
  makeDirectory(path: string): Promise<void>;
  /** Names in a directory, sorted by code unit, without "." and "..". */
  list(path: string): Promise<readonly DiskEntry[]>;
  rename(from: string, to: string): Promise<void>;
  /** Removes a file. No error if it is not there. */
  remove(path: string): Promise<void>;
  /** Removes a directory with all that is below. No error if it is not there. */
  removeTree(path: string): Promise<void>;
  /** Makes names created, renamed and removed in the directory durable: fsync(2) on it. */
  syncDirectory(path: string): Promise<void>;
  /** Fresh memory for large reads and writes of this disk: where it lies may matter for speed. */
  allocate(lengthBytes: number): Uint8Array;
  /** The space of the file system the directory is on, in bytes (statvfs(3): blocks available to us). */
  space(): Promise<{ readonly totalBytes: number; readonly availableBytes: number }>;
}

export interface DiskEntry {
  readonly name: string;
  readonly kind: "file" | "directory" | "other";
}

/**
 * Whether bytes are worth a place in the system's page cache. `pass`: they will hardly be asked for
 * again soon, so they may go past it. Only a matter of speed.
 */
export type CacheUse = "keep" | "pass";

/** An open file. All offsets and lengths are in bytes. Calls on one file may run at the same time. */
export interface DiskFile {
  /** Bytes read into `target` from `offsetBytes`; fewer than `target.length` only at the end of the file. */
  read(target: Uint8Array, offsetBytes: number, use?: CacheUse): Promise<number>;
  /** Writes all of `parts`, one after the other. Not durable before `sync`. */
  write(parts: readonly Uint8Array[], offsetBytes: number, use?: CacheUse): Promise<void>;
  /**
   * Writes all of `bytes`; they are durable when it resolves, as after `sync`, in one step and not
   * in two. After a failure nothing is known about the file's content, as after that of `sync`.
   */
  writeDurably(bytes: Uint8Array, offsetBytes: number): Promise<void>;
  /**
   * fdatasync(2). What was written before the call is durable when it resolves. After a failure
   * nothing is known about the file's content: never retry, give the file up (fsyncgate).
   */
  sync(): Promise<void>;
  truncate(lengthBytes: number): Promise<void>;
  /** Length in bytes and, as the file system tells it, space taken in bytes. */
  size(): Promise<{ readonly lengthBytes: number; readonly allocatedBytes: number }>;
  close(): Promise<void>;
}
