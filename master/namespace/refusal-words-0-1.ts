import { NAME_BYTES_MAX, PATH_BYTES_MAX } from "../../shared/base/path-faults.ts";
import type { FrozenRefusal, NamespaceOperation } from "./command.ts";
import type { Refusal } from "./refusal.ts";
import type { Facts } from "./refusal-reason.ts";
import type { Reason } from "./refusal-words.ts";

/*
 * The words and details that version 0.1.0 stores for a refusal. They are part of the replicated state
 * below FEATURE_LEVEL_REASONS: a member that stores other bytes diverges. So this file never changes,
 * except that it is deleted when no cluster can have a lower level.
 *
 * Refusals of operations that 0.1.0 does not know have words here too, in the same form. A reason
 * that is introduced at FEATURE_LEVEL_REASONS or later needs none.
 */

/** Returns what the row of an outcome below FEATURE_LEVEL_REASONS holds. */
export function frozenRefusal(
  refusal: Refusal,
  operation: NamespaceOperation | undefined,
): FrozenRefusal {
  const { reason, facts } = refusal;
  const words = WORDS[reason]?.(facts as never, { refusal, operation }) ?? reason;
  return { words, details: frozenDetails(refusal) };
}

function frozenDetails({ reason, facts, details }: Refusal): FrozenRefusal["details"] {
  const frozen: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(details)) {
    frozen[name] = name === "path" ? `"${value}"` : value;
    if (reason === "precondition-failed" && name === "version") frozen["expected"] = wanted(facts);
  }
  return frozen;
}

interface Context {
  readonly refusal: Refusal;
  /** The refused operation. Undefined for a precondition, and for a command without operations. */
  readonly operation: NamespaceOperation | undefined;
}

/** Names an operation that is applied to its target: `Cannot put "/a": …`. */
const VERBS: Readonly<Partial<Record<NamespaceOperation["kind"], string>>> = {
  "commit-chunks": "commit to",
  create: "create",
  "make-directory": "make the directory",
  put: "put",
  "remove-directory": "remove the directory",
  "remove-tree": "remove",
  "set-attributes": "set attributes of",
  "set-storage-class": "set the storage class of",
  stage: "stage",
  unlink: "unlink",
};

/** Names an operation with two targets. The words for its second one end in "to". */
const VERBS_FROM: Readonly<Partial<Record<NamespaceOperation["kind"], string>>> = {
  copy: "copy",
  rename: "rename",
  restore: "restore",
  "stage-directory": "stage",
};

function verb({ operation, refusal: { lookup } }: Context, isTo = false): string {
  if (operation === undefined) return "check";
  const from = VERBS_FROM[operation.kind];
  if (from === undefined) return VERBS[operation.kind] ?? operation.kind;
  const isFrom = "from" in operation && lookup?.target === operation.from && !isTo;
  return isFrom ? from : `${from} to`;
}

const whole = ({ refusal: { lookup } }: Context): string => lookup?.path() ?? "";

const renamed = ({ from, to }: Facts): string => `"${from}" to "${to}"`;

const entries = ({ entryCount }: Facts): string =>
  entryCount === 1 ? "1 entry" : `${entryCount} entries`;

function wanted({ kind, expected }: Facts): string {
  if (kind === "absent") return "nothing";
  if (kind === "exists") return "something";
  return kind === "version" ? `version ${expected}` : `a file with root ${expected}`;
}

type Words = (facts: Facts, context: Context) => string;

const TREE_WORDS = {
  "path-not-absolute": ({ shown }) =>
    `Cannot use the path "${shown}": expected an absolute path, one that begins with "/"`,
  "path-too-long": ({ bytes }) =>
    `Cannot use a path of ${bytes} bytes: expected at most ${PATH_BYTES_MAX}`,
  "name-invalid": ({ shown }) =>
    `Cannot use the path "${shown}": expected a name without "/" and NUL that is not "." or ".."`,
  "name-too-long": ({ shown, bytes }) =>
    `Cannot use the name "${shown}…": expected at most ${NAME_BYTES_MAX} bytes: it has ${bytes}`,
  depth: ({ depth, max }) =>
    `Cannot make a name at depth ${depth}: expected at most ${max} names from the root`,
  "target-empty": () => "Cannot use a target: expected an inode or a path: it has none",
  "inode-unknown": ({ inode }, context) =>
    `Cannot ${verb(context)} ${inode === 1 ? "the root" : `inode ${inode}`}: expected it to be in the tree: it is not`,
  "name-unknown": ({ path }, context) =>
    `Cannot ${verb(context)} "${whole(context)}": expected "${path}" to be there: it is not`,
  "parent-not-directory": ({ path }, context) =>
    `Cannot ${verb(context)} "${whole(context)}": expected "${path}" to be a directory: it is a file`,
  "not-directory": ({ path }, context) =>
    `Cannot ${verb(context)} "${path}": expected a directory: it is a file`,
  "not-file": ({ path }, context) =>
    `Cannot ${verb(context)} "${path}": expected a file: it is a directory`,
  "not-empty": (facts, context) =>
    `Cannot ${verb(context)} "${facts["path"]}": expected an empty directory: it has ${entries(facts)}`,
  "name-taken": ({ path, kind }, context) => {
    const { operation } = context;
    const isOr = operation?.kind === "make-directory" && operation.parents;
    const expected = isOr ? "a free name or a directory" : "a free name";
    return `Cannot ${verb(context, true)} "${path}": expected ${expected}: there is a ${kind}`;
  },
  "root-fixed": ({ action }) =>
    `Cannot ${action} "/": expected a path below the root: it is the root`,
  "rename-inside": (facts) =>
    `Cannot rename ${renamed(facts)}: expected a place outside it: it is inside`,
  "rename-onto-file": (facts) =>
    `Cannot rename the directory ${renamed(facts)}: expected a free name or an empty directory: there is a file`,
  "rename-onto-directory": (facts) =>
    `Cannot rename the file ${renamed(facts)}: expected a free name or a file: there is a directory`,
  "rename-not-empty": (facts) =>
    `Cannot rename ${renamed(facts)}: expected an empty directory: it has ${entries(facts)}`,
  "precondition-failed": (facts) => {
    const { path, found, version } = facts;
    const there = found === "nothing" ? "nothing" : `a ${found} of version ${version}`;
    return `Cannot apply the transaction: expected ${wanted(facts)} at "${path}": there is ${there}`;
  },
  "index-reclaimed": ({ index, oldestIndex }) =>
    `Cannot read as of index ${index}: expected ${oldestIndex} or later: older states are reclaimed`,
  "index-unapplied": ({ index, appliedIndex }) =>
    `Cannot read as of index ${index}: expected at most ${appliedIndex}, the last that was applied`,
} satisfies Partial<Record<Reason, Words>>;

const CONTENT_WORDS = {
  "entry-units": ({ max }) => `Cannot apply the change: expected at most ${max} units of work`,
  "inline-size": ({ bytes, max }) =>
    `Cannot keep ${bytes} bytes in the inode: expected at most ${max}`,
  "chunk-size": ({ chunkSizeBytes, min, max }) =>
    `Cannot use a chunk size of ${chunkSizeBytes} bytes: expected a power of two, ${min} to ${max}`,
  "file-size": ({ sizeBytes, chunkSizeBytes, max }) =>
    `Cannot commit a file of ${sizeBytes} bytes: expected at most ${max} chunks of ${chunkSizeBytes} bytes`,
  "chunk-count": ({ sizeBytes, chunkSizeBytes, expected, actual }) =>
    `Cannot commit ${sizeBytes} bytes: expected ${expected} chunks of ${chunkSizeBytes} bytes: there are ${actual}`,
  "position-length": ({ sizeBytes, position, expected, actual }) =>
    `Cannot commit ${sizeBytes} bytes: expected ${expected} bytes at position ${position}: the chunk has ${actual}`,
  "chunk-length": ({ chunkId, expected, actual }) =>
    `Cannot commit chunk ${chunkId}: expected ${expected} bytes: the commit says ${actual}`,
  "chunks-unknown": ({ count }) =>
    `Cannot commit by reference: expected chunks that the cluster holds: ${count} are not there`,
  "intent-old": ({ chunkId, intentIndex, oldestIndex }) =>
    `Cannot commit chunk ${chunkId}: expected an intent of index ${oldestIndex} or later: it was written under ${intentIndex}`,
  "copies-few": ({ chunkId, copies, min }) =>
    `Cannot commit chunk ${chunkId}: expected at least ${min} copies: it has ${copies}`,
  "position-invalid": ({ position, chunkCount }) =>
    `Cannot commit position ${position}: expected each below ${chunkCount}, and once: it is not`,
  "size-changed": ({ path, expected, actual }) =>
    `Cannot commit to "${path}": expected a size of ${expected} bytes: it has ${actual}`,
  "chunk-changed": ({ path, position, expected, actual }) =>
    `Cannot commit to "${path}": expected ${expected ?? "no chunk"} at position ${position}: there is ${actual ?? "none"}`,
  "restore-size": ({ chunkCount, max }) =>
    `Cannot restore ${chunkCount} chunks more: expected at most ${max} in one transaction`,
  "class-unknown": ({ name }) =>
    `Cannot use the storage class "${name}": expected one that is defined: it is not`,
  "class-invalid": ({ name, copies, copiesMin }) =>
    `Cannot define the storage class "${name}": expected a name and copiesMin in [1, ${copies}]: copiesMin is ${copiesMin}`,
  "retention-invalid": ({ retentionMs, max }) =>
    `Cannot set the retention of the history: expected at most ${max} ms: current value is ${retentionMs}`,
  "tree-staged": ({ id }) => `Cannot stage the tree ${id}: the session has it already`,
  "upload-short": ({ id, position, chunkCount }) =>
    `Cannot stage chunks at position ${position} of upload ${id}: expected at most ${chunkCount}, the number of its chunks`,
  "upload-differs": ({ id, chunkId, position, expected }) =>
    `Cannot stage chunk ${chunkId} at position ${position} of upload ${id}: expected chunk ${expected}`,
  "upload-chunk-length": ({ chunkId, max, actual }) =>
    `Cannot stage chunk ${chunkId}: expected 1 to ${max} bytes: current value is ${actual}`,
  "upload-chunks": ({ count, max }) =>
    `Cannot stage ${count} chunks in one upload: expected at most ${max}`,
  "session-uploads": ({ count, max }) =>
    `Cannot stage ${count} unfinished uploads in one session: expected at most ${max}`,
  "session-chunks": ({ count, max }) =>
    `Cannot stage ${count} chunks in the unfinished uploads of one session: expected at most ${max}`,
} satisfies Partial<Record<Reason, Words>>;

const WORDS: Readonly<Partial<Record<Reason, Words>>> = { ...TREE_WORDS, ...CONTENT_WORDS };
