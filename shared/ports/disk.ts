/**
 * One data directory. Paths are relative to it, with "/" between names, and stay inside it.
 *
 * Every failure is an `AshlarError`: NOT_FOUND, ALREADY_EXISTS, NO_SPACE (ENOSPC, EDQUOT), or
 * DISK_FAILED for all others (EIO, EROFS, …). The message has the path, the cause the errno.
 */
export interface Disk {
  /**
   * Opens a file. `create` creates it and fails with ALREADY_EXISTS if it exists; its name is
   * durable only after `syncDirectory` of its directory.
   */
  open(path: string, mode: "read" | "read-write" | "create"): Promise<DiskFile>;
  /** Returns the content of a file. For small files only. @throws {AshlarError} NOT_FOUND */
  readFile(path: string): Promise<Uint8Array>;
  /**
   * Replaces a small file atomically: writes a temporary file, syncs it, renames it, syncs the
   * directory. The new content is durable when the promise resolves. A crash leaves either the old
   * or the new content.
   */
  writeFileDurably(path: string, bytes: Uint8Array): Promise<void>;
  /** Creates a directory and its parents, unless they exist. Durable when the promise resolves. */
  makeDirectory(path: string): Promise<void>;
  /** Returns the entries of a directory, sorted by code unit, without "." and "..". */
  list(path: string): Promise<readonly DiskEntry[]>;
  /** As rename(2). Durable after `syncDirectory` of both directories. */
  rename(from: string, to: string): Promise<void>;
  /** Removes a file. No error if it does not exist. */
  remove(path: string): Promise<void>;
  /** Removes a directory and everything below it. No error if it does not exist. */
  removeTree(path: string): Promise<void>;
  /** Makes the created, renamed and removed names of a directory durable: fsync(2) on it. */
  syncDirectory(path: string): Promise<void>;
  /**
   * Allocates memory for large reads and writes of this disk. Page-aligned memory may be faster.
   */
  allocate(lengthBytes: number): Uint8Array;
  /** Returns the space of the directory's file system, in bytes (statvfs(3), f_bavail). */
  space(): Promise<DiskSpace>;
}

/** Space of a file system. */
export interface DiskSpace {
  readonly totalBytes: number;
  readonly availableBytes: number;
  /**
   * Name of the file system among those of this machine (stat(2), st_dev). Two directories with one
   * name share their space. Absent if the disk cannot tell.
   */
  readonly diskId?: string;
}

/** An entry of a directory. */
export interface DiskEntry {
  readonly name: string;
  readonly kind: "file" | "directory" | "other";
}

/**
 * Whether bytes should be in the system's page cache. `pass`: they will probably not be read soon,
 * so the call may bypass the cache. Affects only speed.
 *
 * `disk`, for reads only: the bytes come from the disk and not from the cache, for any length
 * and alignment, if the file system can do that. For a check of what the disk has.
 */
export type CacheUse = "keep" | "pass" | "disk";

/**
 * An open file. All offsets and lengths are in bytes. Calls on one file may run at the same time.
 */
export interface DiskFile {
  /**
   * Reads into `target` from `offsetBytes`.
   *
   * @returns the number of bytes read: fewer than `target.length` only at the end of the file
   */
  read(target: Uint8Array, offsetBytes: number, use?: CacheUse): Promise<number>;
  /** Writes all of `parts` in order. They are durable only after `sync`. */
  write(parts: readonly Uint8Array[], offsetBytes: number, use?: CacheUse): Promise<void>;
  /**
   * Writes all of `bytes` and makes them and all earlier writes durable, as `write` and `sync` do,
   * in one step. After a failure the file's content is unknown, as after a failure of `sync`.
   */
  writeDurably(bytes: Uint8Array, offsetBytes: number): Promise<void>;
  /**
   * fdatasync(2). All earlier writes are durable when the promise resolves. After a failure the
   * file's content is unknown: do not retry, close the file (LWN, "PostgreSQL's fsync() surprise",
   * 2018).
   */
  sync(): Promise<void>;
  /** ftruncate(2). Durable after `sync`. */
  truncate(lengthBytes: number): Promise<void>;
  /** Returns the file's length, and the space that it takes on the file system. */
  size(): Promise<{ readonly lengthBytes: number; readonly allocatedBytes: number }>;
  close(): Promise<void>;
}
