import { AshlarError } from "../../shared/base/errors.ts";
import { TRANSACTION_OPERATIONS_MAX } from "../../shared/protocol/namespace-api.ts";
import type { Transaction } from "../names/transaction.ts";
import {
  type ChunkOfLine,
  type OperationLine,
  type PreconditionLine,
  parseTransactionLine,
} from "./transaction-line-schema.ts";

/** A parsed transaction, with the line of each operation and precondition. Lines begin at 1. */
export interface ParsedTransaction {
  readonly transaction: Transaction;
  readonly operations: readonly { readonly line: number; readonly op: string }[];
  readonly preconditions: readonly { readonly line: number }[];
}

/**
 * Adds the operations and preconditions in the lines of `text` to `transaction`. Empty lines and
 * lines that begin with `#` are skipped.
 *
 * @throws {AshlarError} INVALID_ARGUMENT with the line number; TOO_LARGE
 */
export function parseTransaction(text: string, transaction: Transaction): ParsedTransaction {
  const operations: { line: number; op: string }[] = [];
  const preconditions: { line: number }[] = [];
  for (const [lineIndex, lineText] of text.split("\n").entries()) {
    if (lineText.trim() === "" || lineText.startsWith("#")) continue;
    const line = lineIndex + 1;
    try {
      const parsed = parseTransactionLine(lineText);
      if ("if" in parsed) {
        addPrecondition(transaction, parsed);
        preconditions.push({ line });
      } else {
        addOperation(transaction, parsed);
        operations.push({ line, op: parsed.op });
      }
    } catch (error) {
      throw invalidLine(line, error as Error);
    }
    const partCount = Math.max(operations.length, preconditions.length);
    if (partCount > TRANSACTION_OPERATIONS_MAX) throw tooMany(line);
  }
  return { transaction, operations, preconditions };
}

function addPrecondition(transaction: Transaction, line: PreconditionLine): void {
  const target = pathOf(line, "path");
  switch (line.if) {
    case "absent":
      transaction.ifAbsent(target);
      break;
    case "exists":
      transaction.ifExists(target);
      break;
    case "version":
      transaction.ifVersion(target, line.version);
      break;
    case "content-root":
      transaction.ifContentRoot(target, Buffer.from(line.root, "hex"));
  }
}

function addOperation(transaction: Transaction, line: OperationLine): void {
  switch (line.op) {
    case "mkdir":
      transaction.mkdir(pathOf(line, "path"), sharedOptions(line));
      break;
    case "create":
      transaction.create(pathOf(line, "path"), sharedOptions(line));
      break;
    case "put":
      addPut(transaction, line);
      break;
    case "commit-chunks":
      addCommit(transaction, line);
      break;
    case "rename":
      transaction.rename(...fromTo(line), { replace: line.replace === true });
      break;
    case "copy":
      transaction.copy(...fromTo(line), sharedOptions(line));
      break;
    case "restore":
      addRestore(transaction, line);
      break;
    case "set-attributes":
      transaction.setAttributes(pathOf(line, "path"), {
        ...sharedOptions(line),
        ...(line.mtime === undefined ? {} : { mtimeMs: line.mtime }),
        ...(line.atime === undefined ? {} : { atimeMs: line.atime }),
      });
      break;
    case "set-storage-class":
      transaction.setStorageClass(pathOf(line, "path"), line.storage_class);
      break;
    default:
      addRemoval(transaction, line);
  }
}

function addRemoval(
  transaction: Transaction,
  line: Extract<OperationLine, { op: "unlink" | "rmdir" | "remove-tree" }>,
): void {
  const target = pathOf(line, "path");
  if (line.op === "unlink") transaction.unlink(target);
  else if (line.op === "rmdir") transaction.rmdir(target);
  else transaction.removeTree(target);
}

type Line<Op> = Extract<OperationLine, { op: Op }>;

function addRestore(transaction: Transaction, line: Line<"restore">): void {
  const from = pathOf(line, "from");
  const hasTarget = line.to !== undefined || line.to_base64 !== undefined;
  const to = hasTarget ? pathOf(line, "to") : from;
  transaction.restore(from, line.index, to, sharedOptions(line));
}

function addPut(transaction: Transaction, line: Line<"put">): void {
  const { text, base64: bytes, chunks, size_bytes, chunk_size_bytes, mtime, storage_class } = line;
  const contentValues = [text, bytes, chunks].filter((each) => each !== undefined);
  if (contentValues.length !== 1) {
    throw new Error(
      `expected exactly one of the keys "text", "base64" and "chunks": current value has ${contentValues.length} of them`,
    );
  }
  const options = {
    ...sharedOptions(line),
    ...(mtime === undefined ? {} : { mtimeMs: mtime }),
    ...(storage_class === undefined ? {} : { storageClass: storage_class }),
  };
  if (chunks === undefined) {
    transaction.put(pathOf(line, "path"), text ?? bytes ?? "", options);
    return;
  }
  if (size_bytes === undefined || chunk_size_bytes === undefined) {
    throw new Error('expected the keys "size_bytes" and "chunk_size_bytes" with "chunks"');
  }
  const content = {
    sizeBytes: size_bytes,
    chunkSizeBytes: chunk_size_bytes,
    chunks: chunks.map(toChunk),
  };
  transaction.put(pathOf(line, "path"), content, options);
}

function addCommit(transaction: Transaction, line: Line<"commit-chunks">): void {
  transaction.commitChunks(pathOf(line, "path"), {
    sizeBytesExpected: line.size_bytes_expected,
    sizeBytes: line.size_bytes,
    changes: line.changes.map((change) => ({ ...change, chunk: toChunk(change.chunk) })),
  });
}

const toChunk = ({ id, length_bytes }: ChunkOfLine) => ({
  id,
  lengthBytes: length_bytes,
});

/** Keys that several operations share, under the names of the library's options. */
interface SharedOptions {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly parents?: boolean;
  readonly replace?: boolean;
  readonly preserve?: boolean;
}

/** Returns the shared options that the line sets. Absent options keep the library's defaults. */
function sharedOptions(
  line: {
    readonly [Key in keyof SharedOptions]?: SharedOptions[Key] | undefined;
  },
): SharedOptions {
  const { mode, uid, gid, parents, replace, preserve } = line;
  const options = { mode, uid, gid, parents, replace, preserve };
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

/** Returns the path under `key`, as text or as bytes. @throws {Error} unless one form is set */
function pathOf(line: Readonly<Record<string, unknown>>, key: string): string | Uint8Array {
  const text = line[key];
  const bytes = line[`${key}_base64`];
  if ((text === undefined) === (bytes === undefined)) {
    throw new Error(`expected the key "${key}" or "${key}_base64"`);
  }
  return (text ?? bytes) as string | Uint8Array;
}

const fromTo = (
  line: Line<"rename" | "copy">,
): readonly [string | Uint8Array, string | Uint8Array] => [
  pathOf(line, "from"),
  pathOf(line, "to"),
];

function invalidLine(line: number, cause: Error): AshlarError {
  return new AshlarError("INVALID_ARGUMENT", `Cannot use line ${line}: ${cause.message}`, {
    cause,
    hint: "docs/cli.md lists the preconditions and operations of a transaction",
  });
}

function tooMany(line: number): AshlarError {
  return new AshlarError(
    "TOO_LARGE",
    `Cannot use line ${line}: expected at most ${TRANSACTION_OPERATIONS_MAX} operations and as many preconditions in one transaction`,
  );
}
