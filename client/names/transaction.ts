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

export interface TransactionResult {
  /** The log index of the commit. */
  readonly index: number;
  /** For each operation the inode that was made or changed; null where there is none left. */
  readonly inodes: readonly (number | null)[];
}

/** A content whose chunks the cluster holds already. */
export interface ChunksByReference {
  readonly sizeBytes: number;
  /** A power of two, 1 MiB to 64 MiB: the length of every chunk but the last. */
  readonly chunkSizeBytes: number;
  readonly chunks: readonly { readonly id: string; readonly lengthBytes: number }[];
}

export interface ChunkChange {
  readonly position: number;
  /** The chunk that is there now; null for a position beyond the end. */
  readonly expected: string | null;
  readonly chunk: { readonly id: string; readonly lengthBytes: number };
}

type TransactionPutOptions = Pick<
  PutOptions,
  "replace" | "mode" | "uid" | "gid" | "mtimeMs" | "storageClass"
>;
type Commit = (
  wanted: readonly Operation[],
  preconditions: readonly Precondition[],
  call: CallOptions,
) => Promise<TransactionResult>;

/**
 * Operations that happen all or not at all, each on what the one before left, if all preconditions
 * hold at the commit. Preconditions are checked before the first operation, wherever they were added.
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

  get operations(): readonly Operation[] {
    return this.#operations;
  }

  get preconditions(): readonly Precondition[] {
    return this.#preconditions;
  }

  ifAbsent(path: PathInput): this {
    return this.require({ kind: "absent", target: targetOf(path) });
  }

  ifExists(path: PathInput): this {
    return this.require({ kind: "exists", target: targetOf(path) });
  }

  /** @param version as `Attributes` has it. */
  ifVersion(path: PathInput, version: number): this {
    return this.require({
      kind: "version",
      target: targetOf(path),
      version: version as LogIndex,
    });
  }

  ifContentRoot(path: PathInput, root: Uint8Array): this {
    return this.require({ kind: "content-root", target: targetOf(path), root: root as Digest });
  }

  mkdir(path: PathInput, options: MakeDirectoryOptions = {}): this {
    return this.add(operations.makeDirectory(path, options));
  }

  create(path: PathInput, options: CreateOptions = {}): this {
    return this.add(operations.create(path, options));
  }

  /** Small bytes, which live in the metadata (4 KiB unless the cluster says otherwise), or chunks that are there. */
  put(
    path: PathInput,
    content: string | Uint8Array | ChunksByReference,
    options: TransactionPutOptions = {},
  ): this {
    const { replace = true, mode = FILE_MODE_DEFAULT, uid = 0, gid = 0 } = options;
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

  /** Changes some chunks of a file to chunks that the cluster holds: compare-and-set by position. */
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

  rename(from: PathInput, to: PathInput, options: RenameOptions = {}): this {
    return this.add(operations.rename(from, to, options));
  }

  copy(from: PathInput, to: PathInput, options: CopyOptions = {}): this {
    return this.add(operations.copy(from, to, options));
  }

  /** What stood at `from` as of an index: a file, or a directory without its entries. */
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

  unlink(path: PathInput): this {
    return this.add({ kind: "unlink", target: targetOf(path) });
  }

  rmdir(path: PathInput): this {
    return this.add({ kind: "remove-directory", target: targetOf(path) });
  }

  /** rm -r as one step. */
  removeTree(path: PathInput): this {
    return this.add({ kind: "remove-tree", target: targetOf(path) });
  }

  setAttributes(path: PathInput, changes: AttributeChanges): this {
    return this.add(operations.setAttributes(path, changes));
  }

  setStorageClass(path: PathInput, storageClass: string): this {
    return this.add({ kind: "set-storage-class", target: targetOf(path), storageClass });
  }

  /** An operation of the protocol's own. */
  add(operation: Operation): this {
    this.#operations.push(operation);
    return this;
  }

  require(precondition: Precondition): this {
    this.#preconditions.push(precondition);
    return this;
  }

  /** Exactly once. @throws {AshlarError} see `refusalOf`; TOO_LARGE */
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

/** @throws {AshlarError} INVALID_ARGUMENT for no operation, TOO_LARGE for too many. */
export function checkTransactionSize(operationCount: number, preconditionCount: number): void {
  if (operationCount === 0) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      "Cannot commit the transaction: expected at least one operation: it has none",
    );
  }
  const count = Math.max(operationCount, preconditionCount);
  if (count <= TRANSACTION_OPERATIONS_MAX) return;
  const what = operationCount === count ? "operations" : "preconditions";
  throw new AshlarError(
    "TOO_LARGE",
    `Cannot commit ${count} ${what}: expected at most ${TRANSACTION_OPERATIONS_MAX} in one transaction`,
  );
}

/** What stood where a transaction was refused, as the operations before had left it. */
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

/** Which part of a transaction was refused, and why. None of it was done. */
export interface TransactionRefusal {
  readonly part: "operation" | "precondition";
  /** Its place among the operations or among the preconditions, from 0. */
  readonly position: number;
  readonly code: ErrorCode;
  /** Quoted, for people; null where the target was no path at all. */
  readonly path: string | null;
  readonly expected: string;
  readonly found: FoundAtPath | null;
  readonly message: string;
}

/** What an operation that was refused with a code had expected. */
const EXPECTED: Readonly<Partial<Record<ErrorCode, string>>> = {
  NOT_FOUND: "the path to be there",
  ALREADY_EXISTS: "a free name",
  NOT_A_DIRECTORY: "a directory",
  IS_A_DIRECTORY: "a file",
  NOT_EMPTY: "an empty directory",
  PRECONDITION_FAILED: "the content that the operation names",
  CHUNKS_MISSING: "chunks that the cluster holds",
  TOO_LARGE: "less",
  INDEX_EXPIRED: "a state that the history keeps",
};

/** What was refused, where `error` is a transaction's refusal; else null. */
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
