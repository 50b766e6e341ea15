import { AshlarError, type ErrorCode, isAshlarError } from "../../shared/base/errors.ts";
import { type ChunkId, type Digest, type LogIndex, parseChunkId } from "../../shared/base/ids.ts";
import type { PathInput } from "../../shared/base/path.ts";
import {
  type CommittedChunk,
  type Content,
  type Operation,
  type Precondition,
  TRANSACTION_OPERATIONS_MAX,
} from "../../shared/protocol/namespace-api.ts";
import type {
  AttributeChanges,
  CallOptions,
  CopyOptions,
  CreateOptions,
  MakeDirectoryOptions,
  PutOptions,
  RenameOptions,
} from "../options.ts";
import { FILE_MODE_DEFAULT } from "../options.ts";
import * as operations from "./operations.ts";
import { targetOf } from "./target.ts";

/** Result of a committed transaction. */
export interface TransactionResult {
  /** The log index of the commit. */
  readonly index: number;
  /** Inode that each operation created or changed. Null if the inode was removed. */
  readonly inodes: readonly (number | null)[];
}

/** Content of a file, made of chunks that the cluster stores already. */
export interface ChunksByReference {
  /** Size of the file. */
  readonly sizeBytes: number;
  /** Length of every chunk but the last: a power of two, 1 MiB to 64 MiB. */
  readonly chunkSizeBytes: number;
  /** Chunk ids (64 hex digits) and lengths, in file order. */
  readonly chunks: readonly { readonly id: string; readonly lengthBytes: number }[];
}

/** Replacement of one chunk of a file. */
export interface ChunkChange {
  /** Position of the chunk in the file, from 0. */
  readonly position: number;
  /** Id of the current chunk at the position. Null beyond the last chunk. */
  readonly expected: string | null;
  /** Chunk to put there, which the cluster stores already. */
  readonly chunk: { readonly id: string; readonly lengthBytes: number };
}

type TransactionPutOptions = Pick<
  PutOptions,
  "replace" | "mode" | "uid" | "gid" | "mtimeMs" | "storageClass"
>;
type Commit = (
  requested: readonly Operation[],
  preconditions: readonly Precondition[],
  call: CallOptions,
) => Promise<TransactionResult>;

/**
 * Builder of a transaction. All operations are committed, or none of them. Each operation sees the
 * result of the previous one. All preconditions are checked at the commit, before the first
 * operation, regardless of the order of the calls.
 *
 *     await fs.transaction().ifVersion("/a", 12).rename("/a", "/b").mkdir("/c").commit();
 */
export class Transaction {
  readonly #commit: Commit;
  readonly #operations: Operation[] = [];
  readonly #preconditions: Precondition[] = [];

  constructor(commit: Commit) {
    this.#commit = commit;
  }

  /** Operations added so far. */
  get operations(): readonly Operation[] {
    return this.#operations;
  }

  /** Preconditions added so far. */
  get preconditions(): readonly Precondition[] {
    return this.#preconditions;
  }

  /** Requires that `path` does not exist. */
  ifAbsent(path: PathInput): this {
    return this.require({ kind: "absent", target: targetOf(path) });
  }

  /** Requires that `path` exists. */
  ifExists(path: PathInput): this {
    return this.require({ kind: "exists", target: targetOf(path) });
  }

  /** Requires that the file or directory has this `version` (see `Attributes`). */
  ifVersion(path: PathInput, version: number): this {
    return this.require({
      kind: "version",
      target: targetOf(path),
      version: version as LogIndex,
    });
  }

  /** Requires that the file has this content root (see `FileAttributes`). */
  ifContentRoot(path: PathInput, root: Uint8Array): this {
    return this.require({ kind: "content-root", target: targetOf(path), root: root as Digest });
  }

  /** Creates a directory. */
  mkdir(path: PathInput, options: MakeDirectoryOptions = {}): this {
    return this.add(operations.makeDirectory(path, options));
  }

  /** Creates an empty file. */
  create(path: PathInput, options: CreateOptions = {}): this {
    return this.add(operations.create(path, options));
  }

  /**
   * Writes a file: small content, which is stored inline in the metadata (at most 4 KiB by
   * default), or chunks that the cluster stores already.
   */
  put(
    path: PathInput,
    content: string | Uint8Array | ChunksByReference,
    options: TransactionPutOptions = {},
  ): this {
    const { replace = false, mode = FILE_MODE_DEFAULT, uid = 0, gid = 0 } = options;
    const { mtimeMs, storageClass } = options;
    return this.add({
      kind: "put",
      target: targetOf(path),
      content: contentOf(content),
      replace,
      mode,
      uid,
      gid,
      ...(mtimeMs === undefined ? {} : { mtimeMs }),
      ...(storageClass === undefined ? {} : { storageClass }),
    });
  }

  /**
   * Replaces chunks of a file by chunks that the cluster stores already. Refused unless size and
   * chunks of the file are the expected ones (compare-and-set).
   */
  commitChunks(
    path: PathInput,
    change: {
      readonly sizeBytesExpected: number;
      readonly sizeBytes: number;
      readonly changes: readonly ChunkChange[];
    },
  ): this {
    const { sizeBytesExpected, sizeBytes } = change;
    const changes = change.changes.map(({ position, expected, chunk }) => ({
      position,
      expected: expected === null ? null : parseChunkId(expected),
      chunk: reference(chunk),
    }));
    const target = targetOf(path);
    return this.add({ kind: "commit-chunks", target, sizeBytesExpected, sizeBytes, changes });
  }

  /** Renames a file or directory, as rename(2). */
  rename(from: PathInput, to: PathInput, options: RenameOptions = {}): this {
    return this.add(operations.rename(from, to, options));
  }

  /** Copies a file by reference. */
  copy(from: PathInput, to: PathInput, options: CopyOptions = {}): this {
    return this.add(operations.copy(from, to, options));
  }

  /** Restores `from` as of `index` by reference: a file, or a directory without its entries. */
  restore(
    from: PathInput,
    index: number,
    to: PathInput = from,
    options: { readonly replace?: boolean } = {},
  ): this {
    return this.add({
      kind: "restore",
      from: targetOf(from),
      index: index as LogIndex,
      to: targetOf(to),
      replace: options.replace ?? false,
    });
  }

  /** Removes a file. */
  unlink(path: PathInput): this {
    return this.add({ kind: "unlink", target: targetOf(path) });
  }

  /** Removes an empty directory. */
  rmdir(path: PathInput): this {
    return this.add({ kind: "remove-directory", target: targetOf(path) });
  }

  /** Removes a file, or a directory with all its content. */
  removeTree(path: PathInput): this {
    return this.add({ kind: "remove-tree", target: targetOf(path) });
  }

  /** Changes mode, owner and times. */
  setAttributes(path: PathInput, changes: AttributeChanges): this {
    return this.add(operations.setAttributes(path, changes));
  }

  /** Sets the storage class of a file, or of new files in a directory. */
  setStorageClass(path: PathInput, storageClass: string): this {
    return this.add({ kind: "set-storage-class", target: targetOf(path), storageClass });
  }

  /** Adds an operation of the protocol. */
  add(operation: Operation): this {
    this.#operations.push(operation);
    return this;
  }

  /** Adds a precondition of the protocol. */
  require(precondition: Precondition): this {
    this.#preconditions.push(precondition);
    return this;
  }

  /**
   * Commits the transaction exactly once.
   *
   * @throws {AshlarError} the refusal (see `refusalOf`); TOO_LARGE; INVALID_ARGUMENT without
   *   operations; COMMIT_UNKNOWN, DEADLINE_EXCEEDED or CANCELLED, possibly after the commit.
   */
  commit(options: CallOptions = {}): Promise<TransactionResult> {
    return this.#commit(this.#operations, this.#preconditions, options);
  }
}

function contentOf(content: string | Uint8Array | ChunksByReference): Content {
  if (typeof content === "string") {
    return { kind: "inline", bytes: new TextEncoder().encode(content) };
  }
  if (content instanceof Uint8Array) return { kind: "inline", bytes: content };
  const { sizeBytes, chunkSizeBytes, chunks } = content;
  return { kind: "chunks", sizeBytes, chunkSizeBytes, chunks: chunks.map(reference) };
}

function reference(chunk: { readonly id: string; readonly lengthBytes: number }): CommittedChunk {
  const id: ChunkId = parseChunkId(chunk.id);
  return { id, lengthBytes: chunk.lengthBytes, intentIndex: 0 as LogIndex, receipts: [] };
}

/**
 * Checks the number of operations and preconditions.
 *
 * @throws {AshlarError} INVALID_ARGUMENT without operations; TOO_LARGE for more than 10,000.
 */
export function checkTransactionSize(operationCount: number, preconditionCount: number): void {
  if (operationCount === 0) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      "Cannot commit the transaction: expected at least one operation: current number is 0",
    );
  }
  const count = Math.max(operationCount, preconditionCount);
  if (count <= TRANSACTION_OPERATIONS_MAX) return;
  const kind = operationCount === count ? "operations" : "preconditions";
  throw new AshlarError(
    "TOO_LARGE",
    `Cannot commit ${count} ${kind}: expected at most ${TRANSACTION_OPERATIONS_MAX} in one transaction`,
  );
}

/** State of the path of a refused operation, after the operations before it. */
export type FoundAtPath =
  | { readonly kind: "nothing" }
  | { readonly kind: "directory"; readonly version: number; readonly entryCount: number }
  | {
      readonly kind: "file";
      readonly version: number;
      readonly sizeBytes: number;
      /** 64 hex digits. */
      readonly contentRoot: string;
    };

/** The refused part of a transaction, and the reason. Nothing of the transaction was committed. */
export interface TransactionRefusal {
  readonly part: "operation" | "precondition";
  /** Position among the operations or among the preconditions, from 0. */
  readonly position: number;
  readonly code: ErrorCode;
  /** Path for display, quoted. Null if the target was an inode. */
  readonly path: string | null;
  /** Expected state, for display, such as "an empty directory". */
  readonly expected: string;
  /** State of the path. Null if the masters did not report it. */
  readonly found: FoundAtPath | null;
  /** Message of the error. */
  readonly message: string;
}

/** The state that an operation expected, by the code of its refusal. */
const EXPECTED: Readonly<Partial<Record<ErrorCode, string>>> = {
  NOT_FOUND: "an existing path",
  ALREADY_EXISTS: "an unused name",
  NOT_A_DIRECTORY: "a directory",
  IS_A_DIRECTORY: "a file",
  NOT_EMPTY: "an empty directory",
  PRECONDITION_FAILED: "the content given by the operation",
  CHUNKS_MISSING: "chunks that the cluster stores",
  TOO_LARGE: "a smaller transaction",
  INDEX_EXPIRED: "a state in the history",
};

/** Returns the refused part if `error` is the refusal of a transaction, else null. */
export function refusalOf(error: unknown): TransactionRefusal | null {
  if (!isAshlarError(error)) return null;
  const { code, message, details } = error;
  const { operationIndex, preconditionIndex, path, expected, found } = details;
  const position = operationIndex ?? preconditionIndex;
  if (typeof position !== "number") return null;
  return {
    part: typeof operationIndex === "number" ? "operation" : "precondition",
    position,
    code,
    path: typeof path === "string" ? path : null,
    expected: typeof expected === "string" ? expected : (EXPECTED[code] ?? "a valid operation"),
    found: (found ?? null) as FoundAtPath | null,
    message,
  };
}
