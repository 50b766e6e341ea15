import { assert } from "../../shared/base/assert.ts";
import { equalBytes } from "../../shared/base/bytes.ts";
import type { InodeId, LogIndex } from "../../shared/base/ids.ts";
import { joinPath } from "../../shared/base/path.ts";
import type { PathVersion } from "../../shared/protocol/history-api.ts";
import { attributesOf } from "./attributes.ts";
import { timeOfIndex } from "./history-floor.ts";
import { type ByteText, entryKey, inodeKey, type Key, nameBytes } from "./keys.ts";
import { CountedRecords, ReadBudget } from "./read-budget.ts";
import { removalTime } from "./reclaim-queue.ts";
import type { InodeRecord } from "./records.ts";
import { PastView, ROOT_INODE, State, versionAt } from "./state.ts";
import type { Table } from "./tables.ts";
import { pathOfInode, targetNames } from "./tree.ts";
import { ENTRIES, INODES, type VersionedRecord } from "./tree-tables.ts";
import type { PathHistoryPage } from "./views.ts";

/**
 * Maximum number of states that one call reads for each version in `limit`. Most states are
 * versions.
 */
const STATES_PER_VERSION = 4;
/** Rows after which a page ends, with or without versions. It takes about 10 ms. */
const PAGE_ROWS_MAX = 5_000;

/** The path and the bounds of one page of a path history. */
export interface PathHistoryOptions {
  /** An absolute path. */
  readonly path: Uint8Array;
  /** `next` of the previous page. Absent for the first page. */
  readonly from?: LogIndex | undefined;
  readonly limit: number;
}

/** The result of resolving a path as of one index. */
interface PathState {
  readonly index: LogIndex;
  /** The existing inodes from the root down to the path. */
  readonly inodes: readonly InodeId[];
  /** The inode of the path. Undefined if the path did not exist. */
  readonly inode: InodeRecord | undefined;
  /** Index of the next change of a record on the path. Null if no change followed. */
  readonly nextIndex: LogIndex | null;
}

/**
 * Returns the changes of a path, oldest first, from the oldest readable state on. Reads only the
 * states at which a record on the path changed.
 *
 * @throws {Refusal} INVALID_ARGUMENT for an invalid path; TOO_LARGE for one of too many names
 */
export function pathHistory(
  records: State,
  oldestIndex: LogIndex,
  options: PathHistoryOptions,
): PathHistoryPage {
  const names = targetNames({ path: options.path });
  const from = Math.max(options.from ?? oldestIndex, oldestIndex) as LogIndex;
  const versions: PathVersion[] = [];
  // No state before the oldest one is readable.
  let rowCount = 0;
  const counted = <Result>(run: (state: State) => Result): Result => {
    const budget = new ReadBudget();
    const result = run(new State(new CountedRecords(records, budget)));
    rowCount += budget.rows;
    return result;
  };
  let before =
    from === oldestIndex
      ? null
      : counted((state) => pathStateAt(state, names, (from - 1) as LogIndex));
  let next: LogIndex | null = from;
  const statesMax = options.limit * STATES_PER_VERSION;
  for (let count = 0; next !== null && count < statesMax; count += 1) {
    if (versions.length === options.limit) break;
    // A page has at least one state, or it would not continue after the page before it.
    if (count > 0 && rowCount > PAGE_ROWS_MAX) break;
    const index: LogIndex = next;
    const after: PathState = counted((state) => pathStateAt(state, names, index));
    const version = counted((state) =>
      before === null ? existingVersion(state, after) : versionOfChange(state, before, after),
    );
    if (version !== null) versions.push(version);
    before = after;
    next = after.nextIndex;
  }
  return { versions, next };
}

function pathStateAt(state: State, names: readonly ByteText[], index: LogIndex): PathState {
  let nextIndex: LogIndex | null = null;
  const inodes: InodeId[] = [ROOT_INODE];
  const readVersion = <Value extends VersionedRecord>(table: Table<Value>, key: Key) => {
    const { value, supersededIndex } = versionAt(state, table, key, index);
    if (supersededIndex !== null && (nextIndex === null || supersededIndex < nextIndex))
      nextIndex = supersededIndex;
    return value;
  };
  for (const name of names) {
    const entry = readVersion(ENTRIES, entryKey(inodes.at(-1) as InodeId, name));
    if (entry === undefined) return { index, inodes, inode: undefined, nextIndex };
    inodes.push(entry.inode);
  }
  const inode = readVersion(INODES, inodeKey(inodes.at(-1) as InodeId));
  return { index, inodes, inode, nextIndex };
}

/**
 * Returns the version at the start of the history. The entry that made the version is not known.
 */
function existingVersion(state: State, { inode, index }: PathState): PathVersion | null {
  if (inode === undefined) return null;
  const attributes = attributesOf(state, inode, index);
  const { version, ctimeMs } = inode;
  return { index: version, timeMs: ctimeMs, change: "existing", attributes, otherPath: null };
}

/** Returns the effect of one entry on the path. Null if the entry only changed an ancestor. */
function versionOfChange(state: State, before: PathState, after: PathState): PathVersion | null {
  const change = changeOf(state, before.inode, after);
  if (change === null) return null;
  const { index, inode } = after;
  const attributes = inode === undefined ? null : attributesOf(state, inode, index);
  return { index, timeMs: timeOf(state, before, after), attributes, ...change };
}

function changeOf(
  state: State,
  before: InodeRecord | undefined,
  { index, inode: after }: PathState,
): Pick<PathVersion, "change" | "otherPath"> | null {
  if (after === undefined) {
    if (before === undefined) return null;
    const otherPath = pathAt(state, before.id, index);
    return { change: otherPath === null ? "removed" : "moved-away", otherPath };
  }
  if (before?.id !== after.id) {
    const otherPath = pathAt(state, after.id, (index - 1) as LogIndex);
    if (before !== undefined) return { change: "replaced", otherPath };
    return { change: otherPath === null ? "created" : "moved-here", otherPath };
  }
  if (after.version !== index) return null;
  return { change: hasSameContent(before, after) ? "attributes" : "content", otherPath: null };
}

function hasSameContent(before: InodeRecord, after: InodeRecord): boolean {
  if (before.kind === "directory" || after.kind === "directory") return true;
  return equalBytes(before.contentRoot, after.contentRoot);
}

/** Returns the path of an inode as of an index. Null if the inode was not in the tree. */
function pathAt(state: State, id: InodeId, index: LogIndex): Uint8Array | null {
  const names = pathOfInode(new PastView(state, index), id);
  return names === undefined ? null : joinPath(names.map(nameBytes));
}

/**
 * Returns the time of a change of a path. Every change of a path writes or removes an inode on the path: the
 * last inode, or a directory. The `ctimeMs` of this inode is the time of the entry, or the reclaim queue has it.
 */
function timeOf(state: State, before: PathState, after: PathState): number {
  const { index } = after;
  const view = new PastView(state, index);
  for (const id of [...after.inodes, ...before.inodes].reverse()) {
    const inode = view.inode(id);
    if (inode?.version === index) return inode.ctimeMs;
    const removedMs = inode === undefined ? removalTime(state, index, id) : undefined;
    if (removedMs !== undefined) return removedMs;
  }
  assert(index > 0, "a change has the index of its entry");
  return timeOfIndex(state, index);
}
