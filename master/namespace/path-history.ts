import { assert } from "../../shared/base/assert.ts";
import { equalBytes } from "../../shared/base/bytes.ts";
import type { InodeId, LogIndex } from "../../shared/base/ids.ts";
import { joinPath } from "../../shared/base/path.ts";
import type { PathVersion } from "../../shared/protocol/history-api.ts";
import { attributesOf } from "./attributes.ts";
import { timeOfIndex } from "./history-floor.ts";
import { type ByteText, entryKey, inodeKey, type Key, nameBytes } from "./keys.ts";
import type { InodeRecord } from "./records.ts";
import { PastView, ROOT_INODE, type State, versionAt } from "./state.ts";
import type { Table } from "./tables.ts";
import { pathOfInode, targetNames } from "./tree.ts";
import { ENTRIES, INODES, type VersionedRecord } from "./tree-tables.ts";
import type { PathHistoryPage } from "./views.ts";

/** Moments that one call looks at for each version it may return: most of them are versions. */
const STATES_PER_VERSION = 4;

export interface PathHistoryOptions {
  /** Absolute. */
  readonly path: Uint8Array;
  /** From the page before. */
  readonly from?: LogIndex | undefined;
  readonly limit: number;
}

/** What a path stood for as of one index. */
interface PathState {
  readonly index: LogIndex;
  /** The inodes from the root down to the path, as far as they are there. */
  readonly inodes: readonly InodeId[];
  /** Undefined where the path leads nowhere. */
  readonly inode: InodeRecord | undefined;
  /** When something on the way, or at the path itself, was changed next; null: not since. */
  readonly nextIndex: LogIndex | null;
}

/**
 * What happened at a path, oldest first, from the oldest readable state on: it goes from one moment
 * at which a record on the way changed to the next, and never looks at what lies between.
 *
 * @throws {Refusal} INVALID_ARGUMENT for a path that is none
 */
export function pathHistory(
  state: State,
  oldestIndex: LogIndex,
  options: PathHistoryOptions,
): PathHistoryPage {
  const names = targetNames({ path: options.path });
  const from = Math.max(options.from ?? oldestIndex, oldestIndex) as LogIndex;
  const versions: PathVersion[] = [];
  // The oldest state has none before it that could be read.
  let before = from === oldestIndex ? null : pathStateAt(state, names, (from - 1) as LogIndex);
  let at: LogIndex | null = from;
  const momentsMax = options.limit * STATES_PER_VERSION;
  for (let count = 0; at !== null && count < momentsMax; count += 1) {
    if (versions.length === options.limit) break;
    const moment = pathStateAt(state, names, at);
    const version =
      before === null ? existingVersion(state, moment) : versionOfChange(state, before, moment);
    if (version !== null) versions.push(version);
    before = moment;
    at = moment.nextIndex;
  }
  return { versions, next: at };
}

function pathStateAt(state: State, names: readonly ByteText[], index: LogIndex): PathState {
  let nextIndex: LogIndex | null = null;
  const inodes: InodeId[] = [ROOT_INODE];
  const look = <Value extends VersionedRecord>(table: Table<Value>, key: Key) => {
    const { value, supersededIndex } = versionAt(state, table, key, index);
    if (supersededIndex !== null && (nextIndex === null || supersededIndex < nextIndex))
      nextIndex = supersededIndex;
    return value;
  };
  for (const name of names) {
    const entry = look(ENTRIES, entryKey(inodes.at(-1) as InodeId, name));
    if (entry === undefined) return { index, inodes, inode: undefined, nextIndex };
    inodes.push(entry.inode);
  }
  const inode = look(INODES, inodeKey(inodes.at(-1) as InodeId));
  return { index, inodes, inode, nextIndex };
}

/** What is there at the beginning of the history: how it came there is not known any more. */
function existingVersion(state: State, { inode, index }: PathState): PathVersion | null {
  if (inode === undefined) return null;
  const attributes = attributesOf(state, inode, index);
  const { version, ctimeMs } = inode;
  return { index: version, timeMs: ctimeMs, change: "existing", attributes, otherPath: null };
}

/** What one entry made of the path; null if it only changed a directory on the way. */
function versionOfChange(state: State, before: PathState, moment: PathState): PathVersion | null {
  const change = changeOf(state, before.inode, moment);
  if (change === null) return null;
  const { index, inode } = moment;
  const attributes = inode === undefined ? null : attributesOf(state, inode, index);
  return { index, timeMs: timeOf(state, before, moment), attributes, ...change };
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

/** Where an inode was in the tree; null if it was not. */
function pathAt(state: State, id: InodeId, index: LogIndex): Uint8Array | null {
  const names = pathOfInode(new PastView(state, index), id);
  return names === undefined ? null : joinPath(names.map(nameBytes));
}

/** Every change of a path writes an inode on the way: its own, or that of a directory that moved. */
function timeOf(state: State, before: PathState, moment: PathState): number {
  const { index } = moment;
  const view = new PastView(state, index);
  for (const id of [...moment.inodes, ...before.inodes].reverse()) {
    const inode = view.inode(id);
    if (inode?.version === index) return inode.ctimeMs;
  }
  assert(index > 0, "something was changed by an entry");
  return timeOfIndex(state, index);
}
