import * as v from "valibot";
import { AshlarError } from "../../shared/base/errors.ts";
import { TRANSACTION_OPERATIONS_MAX } from "../../shared/protocol/namespace-api.ts";
import type { Transaction } from "../names/transaction.ts";

/**
 * The lines of `ashlar txn`: one JSON object each, a precondition (`if`) or an operation (`op`). What
 * is left out has the default of the library's call. docs/cli.md has them all.
 */

const hexRoot = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, "expected 64 lower-case hex digits"));
const octalMode = v.pipe(
  v.string(),
  v.regex(/^[0-7]{1,4}$/, 'expected an octal mode in quotes such as "755"'),
  v.transform((text) => Number.parseInt(text, 8)),
);
const time = v.pipe(
  v.string(),
  v.transform((text) => Date.parse(text)),
  v.finite("expected a time such as 2026-11-21T09:00:00Z"),
);
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const base64 = v.pipe(
  v.string(),
  v.base64(),
  v.transform((text) => Buffer.from(text, "base64")),
);
const path = v.pipe(v.string(), v.startsWith("/", 'expected a path that begins with "/"'));
/** `path`, or `path_base64` for names that are no text. */
const place = { path: v.optional(path), path_base64: v.optional(base64) };
const places = {
  from: v.optional(path),
  from_base64: v.optional(base64),
  to: v.optional(path),
  to_base64: v.optional(base64),
};
const owner = { uid: v.optional(count), gid: v.optional(count) };
const flag = v.optional(v.boolean());
const chunk = v.strictObject({ id: hexRoot, length_bytes: count });

const op = <Name extends string, Entries extends v.ObjectEntries>(name: Name, entries: Entries) =>
  v.strictObject({ op: v.literal(name), ...entries });
const precondition = <Name extends string, Entries extends v.ObjectEntries>(
  name: Name,
  entries: Entries,
) => v.strictObject({ if: v.literal(name), ...place, ...entries });

const conditionSchema = v.variant("if", [
  precondition("absent", {}),
  precondition("exists", {}),
  precondition("version", { version: count }),
  precondition("content-root", { root: hexRoot }),
]);
const operationSchema = v.variant("op", [
  op("mkdir", { ...place, ...owner, mode: v.optional(octalMode), parents: flag }),
  op("create", { ...place, ...owner, mode: v.optional(octalMode) }),
  op("put", {
    ...place,
    ...owner,
    mode: v.optional(octalMode),
    /** One of the three. */
    text: v.optional(v.string()),
    base64: v.optional(base64),
    chunks: v.optional(v.array(chunk)),
    size_bytes: v.optional(count),
    chunk_size_bytes: v.optional(count),
    replace: flag,
    mtime: v.optional(time),
    storage_class: v.optional(v.string()),
  }),
  op("commit-chunks", {
    ...place,
    size_bytes_expected: count,
    size_bytes: count,
    changes: v.array(v.strictObject({ position: count, expected: v.nullable(hexRoot), chunk })),
  }),
  op("rename", { ...places, replace: flag }),
  op("copy", { ...places, ...owner, replace: flag, preserve: flag }),
  op("restore", { ...places, index: count, replace: flag }),
  op("unlink", place),
  op("rmdir", place),
  op("remove-tree", place),
  op("set-attributes", {
    ...place,
    ...owner,
    mode: v.optional(octalMode),
    mtime: v.optional(time),
    atime: v.optional(time),
  }),
  op("set-storage-class", { ...place, storage_class: v.string() }),
]);

type ConditionLine = v.InferOutput<typeof conditionSchema>;
type OperationLine = v.InferOutput<typeof operationSchema>;

/** Where the parts of a transaction stood in the file: line numbers from 1. */
export interface ReadTransaction {
  readonly transaction: Transaction;
  readonly operations: readonly { readonly line: number; readonly op: string }[];
  readonly preconditions: readonly { readonly line: number }[];
}

/**
 * Puts the lines together. Empty lines and those that begin with `#` are passed over.
 *
 * @throws {AshlarError} INVALID_ARGUMENT naming the line; TOO_LARGE
 */
export function readTransaction(text: string, transaction: Transaction): ReadTransaction {
  const operations: { line: number; op: string }[] = [];
  const preconditions: { line: number }[] = [];
  for (const [position, written] of text.split("\n").entries()) {
    if (written.trim() === "" || written.startsWith("#")) continue;
    const line = position + 1;
    const parsed = parseLine(written, line);
    try {
      if ("if" in parsed) addCondition(transaction, parsed);
      else addOperation(transaction, parsed);
    } catch (error) {
      throw invalid(line, (error as Error).message, error);
    }
    if ("if" in parsed) preconditions.push({ line });
    else operations.push({ line, op: parsed.op });
    const parts = Math.max(operations.length, preconditions.length);
    if (parts > TRANSACTION_OPERATIONS_MAX) throw tooMany(line);
  }
  return { transaction, operations, preconditions };
}

function parseLine(written: string, line: number): ConditionLine | OperationLine {
  let value: unknown;
  try {
    value = JSON.parse(written);
  } catch (cause) {
    throw invalid(line, "expected a JSON object", cause);
  }
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  if (!isObject) throw invalid(line, "expected a JSON object");
  const schema = "if" in (value as object) ? conditionSchema : operationSchema;
  const result = v.safeParse(schema, value, { abortEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw invalid(line, `${v.getDotPath(issue) ?? "object"}: ${issue.message}`);
}

function addCondition(transaction: Transaction, line: ConditionLine): void {
  const target = oneOf(line, "path");
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
      transaction.mkdir(oneOf(line, "path"), defined(line));
      break;
    case "create":
      transaction.create(oneOf(line, "path"), defined(line));
      break;
    case "put":
      addPut(transaction, line);
      break;
    case "commit-chunks":
      addCommit(transaction, line);
      break;
    case "rename":
      transaction.rename(...fromTo(line), { noReplace: line.replace === false });
      break;
    case "copy":
      transaction.copy(...fromTo(line), defined(line));
      break;
    case "restore":
      addRestore(transaction, line);
      break;
    case "set-attributes":
      transaction.setAttributes(oneOf(line, "path"), {
        ...defined(line),
        ...(line.mtime === undefined ? {} : { mtimeMs: line.mtime }),
        ...(line.atime === undefined ? {} : { atimeMs: line.atime }),
      });
      break;
    case "set-storage-class":
      transaction.setStorageClass(oneOf(line, "path"), line.storage_class);
      break;
    default:
      addRemoval(transaction, line);
  }
}

function addRemoval(
  transaction: Transaction,
  line: Extract<OperationLine, { op: "unlink" | "rmdir" | "remove-tree" }>,
): void {
  const target = oneOf(line, "path");
  if (line.op === "unlink") transaction.unlink(target);
  else if (line.op === "rmdir") transaction.rmdir(target);
  else transaction.removeTree(target);
}

type Line<Op> = Extract<OperationLine, { op: Op }>;

function addRestore(transaction: Transaction, line: Line<"restore">): void {
  const from = oneOf(line, "from");
  const isElsewhere = line.to !== undefined || line.to_base64 !== undefined;
  const to = isElsewhere ? oneOf(line, "to") : from;
  transaction.restore(from, line.index, to, defined(line));
}

function addPut(transaction: Transaction, line: Line<"put">): void {
  const { text, base64: bytes, chunks, size_bytes, chunk_size_bytes, mtime, storage_class } = line;
  const given = [text, bytes, chunks].filter((each) => each !== undefined);
  if (given.length !== 1) throw new Error('expected one of "text", "base64" and "chunks"');
  const choice = {
    ...defined(line),
    ...(mtime === undefined ? {} : { mtimeMs: mtime }),
    ...(storage_class === undefined ? {} : { storageClass: storage_class }),
  };
  if (chunks === undefined) {
    transaction.put(oneOf(line, "path"), text ?? bytes ?? "", choice);
    return;
  }
  if (size_bytes === undefined || chunk_size_bytes === undefined) {
    throw new Error('expected "size_bytes" and "chunk_size_bytes" beside "chunks"');
  }
  const content = {
    sizeBytes: size_bytes,
    chunkSizeBytes: chunk_size_bytes,
    chunks: chunks.map(toChunk),
  };
  transaction.put(oneOf(line, "path"), content, choice);
}

function addCommit(transaction: Transaction, line: Line<"commit-chunks">): void {
  transaction.commitChunks(oneOf(line, "path"), {
    sizeBytesExpected: line.size_bytes_expected,
    sizeBytes: line.size_bytes,
    changes: line.changes.map((change) => ({ ...change, chunk: toChunk(change.chunk) })),
  });
}

const toChunk = ({ id, length_bytes }: v.InferOutput<typeof chunk>) => ({
  id,
  lengthBytes: length_bytes,
});

interface Choice {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly parents?: boolean;
  readonly replace?: boolean;
  readonly preserve?: boolean;
}

/** What the line says of these; what it does not say has the library's default. */
function defined(line: { readonly [Key in keyof Choice]?: Choice[Key] | undefined }): Choice {
  const { mode, uid, gid, parents, replace, preserve } = line;
  const choice = { mode, uid, gid, parents, replace, preserve };
  return Object.fromEntries(Object.entries(choice).filter(([, value]) => value !== undefined));
}

/** The path under `key`, as text or as bytes. */
function oneOf(line: Readonly<Record<string, unknown>>, key: string): string | Uint8Array {
  const text = line[key];
  const bytes = line[`${key}_base64`];
  if ((text === undefined) === (bytes === undefined)) {
    throw new Error(`expected "${key}" or "${key}_base64"`);
  }
  return (text ?? bytes) as string | Uint8Array;
}

const fromTo = (
  line: Line<"rename" | "copy">,
): readonly [string | Uint8Array, string | Uint8Array] => [oneOf(line, "from"), oneOf(line, "to")];

function invalid(line: number, problem: string, cause?: unknown): AshlarError {
  return new AshlarError("INVALID_ARGUMENT", `Cannot read line ${line}: ${problem}`, {
    ...(cause === undefined ? {} : { cause }),
    hint: "docs/cli.md has the lines of a transaction",
  });
}

function tooMany(line: number): AshlarError {
  return new AshlarError(
    "TOO_LARGE",
    `Cannot read line ${line}: expected at most ${TRANSACTION_OPERATIONS_MAX} operations in one transaction`,
  );
}
