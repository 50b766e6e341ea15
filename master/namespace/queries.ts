import { present } from "../../shared/base/assert.ts";
import type { LogIndex } from "../../shared/base/ids.ts";
import type { EntryName } from "../../shared/base/path.ts";
import type { Attributes } from "../../shared/protocol/attributes.ts";
import type { StorageClass, Target } from "../../shared/protocol/namespace-api.ts";
import { attributesOf } from "./attributes.ts";
import { indexAtTime, timeOfIndex } from "./history-floor.ts";
import {
  bytesToText,
  entryKey,
  entryPrefix,
  historyPrefix,
  type Key,
  keyAfter,
  nameBytes,
  nameOfEntryKey,
  prefixEnd,
  TABLE_BYTE,
} from "./keys.ts";
import type { DirectoryInode, EntryRecord } from "./records.ts";
import { pathRefusal, Refusal } from "./refusal.ts";
import { historyVersionsAt, PastView, ROOT_INODE, type State, type TreeView } from "./state.ts";
import { find, showTarget, targetNames } from "./tree.ts";
import { ENTRIES } from "./tree-tables.ts";
import type { ContentPart, ListingPage } from "./views.ts";

/** A view of the state as of one index. */
export interface ReadView {
  readonly state: State;
  /** The current state, or a `PastView`. */
  readonly view: TreeView;
  readonly at: LogIndex;
  readonly isPast: boolean;
}

/**
 * Returns a view of the state as of `at`, or of the current state if `at` is undefined.
 *
 * @throws {Refusal} INDEX_EXPIRED; INVALID_ARGUMENT for an index that is not applied yet
 */
export function readViewAt(
  state: State,
  appliedIndex: LogIndex,
  at: LogIndex | undefined,
): ReadView {
  if (at === undefined || at === appliedIndex) {
    return { state, view: state, at: appliedIndex, isPast: false };
  }
  const { historyFloor } = state.totals;
  if (at < historyFloor) throw indexExpiredRefusal(state, `index ${at}`);
  if (at > appliedIndex) {
    throw new Refusal(
      "INVALID_ARGUMENT",
      `Cannot read as of index ${at}: expected at most ${appliedIndex}, the last applied index`,
    );
  }
  return { state, view: new PastView(state, at), at, isPast: true };
}

/**
 * Returns the last index that was applied at or before `timeMs`: see `indexAtTime`.
 *
 * @throws {Refusal} INDEX_EXPIRED
 */
export function indexOfTime(state: State, appliedIndex: LogIndex, timeMs: number): LogIndex {
  const index = indexAtTime(state, appliedIndex, timeMs);
  if (index !== undefined && index >= state.totals.historyFloor) return index;
  throw indexExpiredRefusal(state, `the index at ${timeMs} ms since 1970`);
}

function indexExpiredRefusal(state: State, requested: string): Refusal {
  const oldestIndex = state.totals.historyFloor;
  return new Refusal(
    "INDEX_EXPIRED",
    `Cannot read as of ${requested}: expected index ${oldestIndex} or later: older states are reclaimed`,
    { oldestIndex, oldestTimeMs: timeOfIndex(state, oldestIndex) },
  );
}

/** Returns the attributes of the inode at `target`. */
export function stat(reading: ReadView, target: Target): Attributes {
  return attributesOf(reading.state, find(reading.view, target), reading.at);
}

/** The bounds of one page of a listing. */
export interface PageOptions {
  /** The last name of the previous page. The directory need not have an entry of this name. */
  readonly after?: EntryName | undefined;
  readonly limit: number;
}

/** Returns one page of a directory listing. @throws {Refusal} NOT_A_DIRECTORY, NOT_FOUND */
export function list(reading: ReadView, target: Target, page: PageOptions): ListingPage {
  const directory = find(reading.view, target);
  if (directory.kind !== "directory") {
    throw pathRefusal("NOT_A_DIRECTORY", showTarget(reading.view, target));
  }
  const entries: { name: EntryName; attributes: Attributes }[] = [];
  for (const { key, value } of entriesOf(reading, directory, page.after)) {
    if (entries.length === page.limit) return { entries, isLast: false };
    const inode = present(reading.view.inode(value.inode), "every entry has an inode");
    const attributes = attributesOf(reading.state, inode, reading.at);
    entries.push({ name: nameBytes(nameOfEntryKey(key)), attributes });
  }
  return { entries, isLast: true };
}

interface EntryRow {
  readonly key: Key;
  readonly value: EntryRecord;
}

/** Yields the entries of a directory after a name, in byte order. */
function* entriesOf(
  reading: ReadView,
  { id }: DirectoryInode,
  after: EntryName | undefined,
): Generator<EntryRow, void, void> {
  const { state } = reading;
  const prefix = entryPrefix(id);
  const from = after === undefined ? undefined : entryKey(id, bytesToText(after));
  const start = from === undefined ? prefix : keyAfter(from);
  const present = state.scan(ENTRIES, { start, end: prefixEnd(prefix) });
  if (!reading.isPast) {
    yield* present;
    return;
  }
  const inHistory = (TABLE_BYTE.history + prefix) as Key;
  const pastStart = from === undefined ? inHistory : prefixEnd(historyPrefix(from));
  const past = historyVersionsAt(
    state,
    { start: pastStart, end: prefixEnd(inHistory) },
    reading.at,
  ) as Generator<EntryRow, void, void>;
  yield* merged(aliveNow(present, reading.at), past);
}

/** Yields the current entries that already existed at `at`. */
function* aliveNow(
  rows: Generator<EntryRow, void, void>,
  at: LogIndex,
): Generator<EntryRow, void, void> {
  for (const row of rows) {
    if (row.value.version <= at) yield row;
  }
}

/**
 * Merges two sequences in key order. No key is in both, because at most one version of a record
 * exists at an index.
 */
function* merged(
  left: Generator<EntryRow, void, void>,
  right: Generator<EntryRow, void, void>,
): Generator<EntryRow, void, void> {
  try {
    let first = left.next();
    let second = right.next();
    while (first.done !== true || second.done !== true) {
      if (second.done === true || (first.done !== true && first.value.key < second.value.key)) {
        yield first.value as EntryRow;
        first = left.next();
      } else {
        yield second.value;
        second = right.next();
      }
    }
  } finally {
    left.return();
    right.return();
  }
}

/**
 * Returns a part of a file's content and its servers.
 *
 * @throws {Refusal} IS_A_DIRECTORY, NOT_FOUND
 */
export function locate(
  reading: ReadView,
  target: Target,
  part: { readonly firstPosition: number; readonly count: number },
): ContentPart {
  const { state, view, at } = reading;
  const file = find(view, target);
  if (file.kind === "directory") {
    throw pathRefusal("IS_A_DIRECTORY", showTarget(view, target));
  }
  const attributes = attributesOf(state, file, at);
  const { content } = file;
  if (content.kind === "inline") return { attributes, inlineBytes: content.bytes, chunks: [] };
  const end = Math.min(content.chunkCount, part.firstPosition + part.count);
  const chunks: ContentPart["chunks"][number][] = [];
  for (let position = part.firstPosition; position < end; position += 1) {
    const record = present(
      view.position(content.contentId, position),
      "a content has one position for each chunk",
    );
    const { chunkId: id, lengthBytes } = record;
    const chunk = present(state.chunk(id), "the state has the chunk of every position");
    chunks.push({ id, lengthBytes, replicas: chunk.replicas.map(({ serverId }) => serverId) });
  }
  return { attributes, inlineBytes: null, chunks };
}

/** Returns the storage class of a file, or of the deepest existing inode on its path. */
export function storageClassFor(state: State, target: Target): StorageClass {
  const start = target.inode === undefined ? { inode: ROOT_INODE } : { inode: target.inode };
  let inode = find(state, start);
  for (const name of targetNames(target)) {
    const entry = inode.kind === "directory" ? state.entry(inode.id, name) : undefined;
    if (entry === undefined) break;
    inode = present(state.inode(entry.inode), "every entry has an inode");
  }
  return present(state.storageClass(inode.storageClass), "the class of an inode is defined");
}
