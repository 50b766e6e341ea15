import type { FileAttributes } from "../../../shared/protocol/attributes.ts";
import type { AttributeChanges } from "../../options.ts";
import type { LocalEntry } from "../local/walk-local.ts";
import type { RemotePath } from "../remote-paths.ts";

/** The attributes that a sync compares. */
export interface SyncAttributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Whole milliseconds, rounded down: both sides store at least these. */
  readonly mtimeMs: number;
}

/** A regular file, or in a local tree a symbolic link to one. */
export interface SyncFile {
  readonly kind: "file";
  /** Path relative to the root of the tree. */
  readonly relative: Buffer;
  readonly attributes: SyncAttributes;
  readonly sizeBytes: number;
  readonly content:
    | { readonly place: "local"; readonly entry: LocalEntry }
    | {
        readonly place: "cluster";
        readonly path: RemotePath;
        readonly attributes: FileAttributes;
      };
}

export interface SyncDirectory {
  readonly kind: "directory";
  readonly relative: Buffer;
  readonly attributes: SyncAttributes;
}

/**
 * An entry of a tree that is synced.
 *
 * `unsupported` and `failed` are not the same: of the first everything is known that a sync needs. The
 * second can be a file that is stored, or a directory whose entries are not known.
 */
export type SyncEntry =
  | SyncFile
  | SyncDirectory
  | {
      readonly kind: "unsupported";
      readonly relative: Buffer;
      /** "a FIFO" */
      readonly what: string;
      readonly error: Error;
    }
  | {
      readonly kind: "failed";
      readonly relative: Buffer;
      readonly error: Error;
      readonly canHaveEntries: boolean;
    };

/** The source or the target of a sync: a directory on this machine or in the cluster. */
export interface SyncTree {
  readonly place: "local" | "cluster";
  /** Whether every owner can be set. */
  readonly keepsOwners: boolean;
  /** Returns the path of an entry as people read it. */
  textOf(relative: Uint8Array): string;
  /** Returns the bytes of the path of an entry. */
  bytesOf(relative: Uint8Array): Uint8Array;
  /**
   * Resolves with the directory at the root of the tree; null if it does not exist.
   *
   * @throws {AshlarError} NOT_A_DIRECTORY if it is another file
   */
  root(): Promise<SyncDirectory | null>;
  /**
   * Yields what is below a directory, in the order of `compareRelative`: a directory before its
   * entries, names in byte order. An entry that cannot be read does not end the walk.
   */
  walk(relative: Buffer): AsyncGenerator<SyncEntry, void, void>;
  /** Makes a directory, and the missing parents of the root. One that exists is no error. */
  makeDirectory(relative: Buffer, mode: number): Promise<void>;
  /** Resolves with whether the owner is that in `changes`, if there is one. */
  setAttributes(
    entry: Pick<SyncEntry, "kind" | "relative">,
    changes: AttributeChanges,
  ): Promise<boolean>;
  /**
   * Removes an entry, a directory with everything in it. A symbolic link is removed and not followed.
   * An entry that does not exist is no error.
   */
  remove(entry: Pick<SyncEntry, "kind" | "relative">): Promise<void>;
  /** Removes a directory if it is empty. @returns whether it was removed */
  removeIfEmpty(relative: Buffer): Promise<boolean>;
}

const SLASH = 0x2f;

/**
 * Compares two relative paths in the order of a walk: name by name, so that the entries of a directory
 * follow it immediately. "a/x" is between "a" and "a-b", although "-" is a lower byte than "/".
 */
export function compareRelative(left: Uint8Array, right: Uint8Array): number {
  const sharedLength = Math.min(left.length, right.length);
  for (let index = 0; index < sharedLength; index += 1) {
    const [one = 0, other = 0] = [left[index], right[index]];
    // No name has a NUL, so the slash can take its place in the order.
    if (one !== other) return (one === SLASH ? 0 : one) - (other === SLASH ? 0 : other);
  }
  return left.length - right.length;
}

/** Returns whether a relative path is `directory` or below it. Everything is below the root, "". */
export function isAtOrBelow(relative: Uint8Array, directory: Uint8Array): boolean {
  if (directory.length === 0) return true;
  if (relative.length < directory.length) return false;
  if (relative.length > directory.length && relative[directory.length] !== SLASH) return false;
  return Buffer.compare(relative.subarray(0, directory.length), directory) === 0;
}
