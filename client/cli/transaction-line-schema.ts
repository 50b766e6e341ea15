import * as v from "valibot";
import { parseIsoTimeMs } from "./iso-time.ts";

/*
 * The lines of `ashlar txn`: one JSON object each, a precondition (`if`) or an operation (`op`). An
 * omitted key has the default of the library's call. docs/cli.md lists all of them.
 *
 * The message of each schema is what the schema expects: `explainIssue` makes the error from it.
 */

const ROOT = "64 lower-case hex digits";
const MODE = 'an octal mode in quotes such as "755"';
const TIME = "a time in quotes such as 2026-11-21T09:00:00Z";
const COUNT = "an integer of at least 0";
const BASE64 = "base64 text";
const PATH = 'a path that begins with "/"';
const NAME = "the name of a storage class";

const hexRoot = v.pipe(v.string(ROOT), v.regex(/^[0-9a-f]{64}$/, ROOT));
const octalMode = v.pipe(
  v.string(MODE),
  v.regex(/^[0-7]{1,4}$/, MODE),
  v.transform((text) => Number.parseInt(text, 8)),
);
const time = v.pipe(
  v.string(TIME),
  v.check((text) => parseIsoTimeMs(text) !== null, TIME),
  v.transform((text) => parseIsoTimeMs(text) as number),
);
const count = v.pipe(v.number(COUNT), v.safeInteger(COUNT), v.minValue(0, COUNT));
const base64 = v.pipe(
  v.string(BASE64),
  v.base64(BASE64),
  v.transform((text) => Buffer.from(text, "base64")),
);
const path = v.pipe(v.string(PATH), v.startsWith("/", PATH));
/** `path`, or `path_base64` for a path that is not UTF-8. */
const pathKeys = { path: v.optional(path), path_base64: v.optional(base64) };
const fromToKeys = {
  from: v.optional(path),
  from_base64: v.optional(base64),
  to: v.optional(path),
  to_base64: v.optional(base64),
};
const owner = { uid: v.optional(count), gid: v.optional(count) };
const flag = v.optional(v.boolean("true or false"));
const chunk = v.strictObject({ id: hexRoot, length_bytes: count });

const op = <Name extends string, Entries extends v.ObjectEntries>(name: Name, entries: Entries) =>
  v.strictObject({ op: v.literal(name), ...entries });
const precondition = <Name extends string, Entries extends v.ObjectEntries>(
  name: Name,
  entries: Entries,
) => v.strictObject({ if: v.literal(name), ...pathKeys, ...entries });

const preconditionSchema = v.variant("if", [
  precondition("absent", {}),
  precondition("exists", {}),
  precondition("version", { version: count }),
  precondition("content-root", { root: hexRoot }),
]);
const operationSchema = v.variant("op", [
  op("mkdir", { ...pathKeys, ...owner, mode: v.optional(octalMode), parents: flag }),
  op("create", { ...pathKeys, ...owner, mode: v.optional(octalMode) }),
  op("put", {
    ...pathKeys,
    ...owner,
    mode: v.optional(octalMode),
    // Exactly one of `text`, `base64` and `chunks` is required.
    text: v.optional(v.string("a string")),
    base64: v.optional(base64),
    chunks: v.optional(v.array(chunk, "a list of chunks")),
    size_bytes: v.optional(count),
    chunk_size_bytes: v.optional(count),
    replace: flag,
    mtime: v.optional(time),
    storage_class: v.optional(v.string(NAME)),
  }),
  op("commit-chunks", {
    ...pathKeys,
    size_bytes_expected: count,
    size_bytes: count,
    changes: v.array(
      v.strictObject({ position: count, expected: v.nullable(hexRoot), chunk }),
      "a list of changes",
    ),
  }),
  op("rename", { ...fromToKeys, replace: flag }),
  op("copy", { ...fromToKeys, ...owner, replace: flag, preserve: flag }),
  op("restore", { ...fromToKeys, index: count, replace: flag }),
  op("unlink", pathKeys),
  op("rmdir", pathKeys),
  op("remove-tree", pathKeys),
  op("set-attributes", {
    ...pathKeys,
    ...owner,
    mode: v.optional(octalMode),
    mtime: v.optional(time),
    atime: v.optional(time),
  }),
  op("set-storage-class", { ...pathKeys, storage_class: v.string(NAME) }),
]);

export type PreconditionLine = v.InferOutput<typeof preconditionSchema>;
export type OperationLine = v.InferOutput<typeof operationSchema>;
/** A chunk in a line of `put` or `commit-chunks`. */
export type ChunkOfLine = v.InferOutput<typeof chunk>;

/** Characters of a refused value that the error message repeats. */
const SHOWN_LENGTH_MAX = 100;

/**
 * Parses one line.
 *
 * @throws {Error} with a message of the form `expected … for "key": current value is …`
 */
export function parseTransactionLine(text: string): PreconditionLine | OperationLine {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new Error(`expected a JSON object: current value is ${text.slice(0, SHOWN_LENGTH_MAX)}`, {
      cause,
    });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Error(`expected a JSON object: current value is ${jsonExcerpt(value)}`);
  }
  const schema = "if" in value ? preconditionSchema : operationSchema;
  const result = v.safeParse(schema, value, { abortEarly: true });
  if (result.success) return result.output;
  throw new Error(explainIssue(result.issues[0]));
}

function explainIssue(issue: v.BaseIssue<unknown>): string {
  const key = v.getDotPath(issue) ?? "";
  const { type, expected, received, input } = issue;
  if (type === "variant") {
    if (input === undefined) return 'expected the key "op" or "if"';
    return `expected ${kindsFor(key)} for "${key}": current value is ${jsonExcerpt(input)}`;
  }
  if (type === "strict_object") {
    if (expected === "never") return `unknown key "${key}"`;
    if (received === "undefined") return `expected the key "${key}"`;
    return `expected an object for "${key}": current value is ${jsonExcerpt(input)}`;
  }
  return `expected ${issue.message} for "${key}": current value is ${jsonExcerpt(input)}`;
}

/** Returns the names of all preconditions or of all operations. */
function kindsFor(key: string): string {
  const kinds =
    key === "if"
      ? preconditionSchema.options.map(({ entries }) => entries.if.literal)
      : operationSchema.options.map(({ entries }) => entries.op.literal);
  return `one of ${kinds.join(", ")}`;
}

function jsonExcerpt(value: unknown): string {
  return JSON.stringify(value).slice(0, SHOWN_LENGTH_MAX);
}
