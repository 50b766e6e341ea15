import { present } from "../../shared/base/assert.ts";
import type { LogIndex } from "../../shared/base/ids.ts";
import type { EntryName } from "../../shared/base/path.ts";
import type { Attributes } from "../../shared/protocol/attributes.ts";
import type { StorageClass, Target } from "../../shared/protocol/namespace-api.ts";
import { attributesOf } from "./attributes.ts";
import { indexAtTime, timeOfIndex } from "./history-floor.ts";
import { historyVersionsAt } from "./history-versions.ts";
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
import type { Row } from "./overlay.ts";
import { CountedRecords, ReadBudget } from "./read-budget.ts";
import type { DirectoryInode, EntryRecord } from "./records.ts";
import { refusal } from "./refusal.ts";
import { PastView, ROOT_INODE, State, type TreeView } from "./state.ts";
import { find, showTarget, targetNames } from "./tree.ts";
import { ENTRIES } from "./tree-tables.ts";
import type { ContentPart, ListingPage } from "./views.ts";

/** A view of the state as of one index. */
export interface ReadView {
  /** The current state. Reads that have a bound of their own use it. */
  readonly records: State;
  /** The current state. Its rows count, as those of `view`. */
  readonly state: State;
  /** `state`, or a `PastView` of it. */
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
  records: State,
  appliedIndex: LogIndex,
  at: LogIndex | undefined,
  budget: ReadBudget = new ReadBudget(),
): ReadView {
  const state = new State(new CountedRecords(records, budget));
  const isPast = at !== undefined && at !== appliedIndex;
  if (!isPast) return { records, state, view: state, at: appliedIndex, isPast };
  const { historyFloor } = records.totals;
  if (at < historyFloor) {
    const facts = { index: at, oldestIndex: historyFloor };
    throw refusal("index-reclaimed", facts, oldestReadable(records));
  }
  if (at > appliedIndex) {
    throw refusal("index-unapplied", { index: at, appliedIndex });
  }
  return { records, state, view: new PastView(state, at), at, isPast };
}

/** Returns `view` without a count of its rows: for reads that have a bound of their own. */
const uncountedView = ({ records, at, isPast }: ReadView): TreeView =>
  isPast ? new PastView(records, at) : records;

/**
 * Returns the last index that was applied at or before `timeMs`: see `indexAtTime`.
 *
 * @throws {Refusal} INDEX_EXPIRED
 */
export function indexOfTime(state: State, appliedIndex: LogIndex, timeMs: number): LogIndex {
  const index = indexAtTime(state, appliedIndex, timeMs);
  if (index !== undefined && index >= state.totals.historyFloor) return index;
  const facts = { timeMs, oldestIndex: state.totals.historyFloor };
  throw refusal("time-reclaimed", facts, oldestReadable(state));
}

/** Returns the details of an INDEX_EXPIRED refusal. */
function oldestReadable(state: State): Readonly<Record<string, unknown>> {
  const oldestIndex = state.totals.historyFloor;
  return { oldestIndex, oldestTimeMs: timeOfIndex(state, oldestIndex) };
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

/** Most work of one page: 5 ms for 1,000 entries, up to 20 ms for skipped names. */
const PAGE_WORK_MAX = 3_000;
/** Work of an entry, in names that are looked at and skipped. */
const ENTRY_WORK = 3;

/**
 * Returns one page of a directory listing. A page ends before `limit` entries when it has cost enough:
 * it may be empty, because a past listing skips names that did not exist at its index.
 *
 * @throws {Refusal} NOT_A_DIRECTORY, NOT_FOUND, TOO_LARGE
 */
export function list(reading: ReadView, target: Target, page: PageOptions): ListingPage {
  const directory = find(reading.view, target);
  if (directory.kind !== "directory") {
    throw refusal("not-directory", { path: showTarget(reading.view, target) });
  }
  const { at } = reading;
  const view = uncountedView(reading);
  const entries: { name: EntryName; attributes: Attributes }[] = [];
  let work = 0;
  let after: EntryName | null = null;
  for (const { key, value } of entriesOf(reading, directory, page.after)) {
    const isFull = value !== undefined && entries.length === page.limit;
    if (isFull || work >= PAGE_WORK_MAX) {
      return { entries, isLast: false, after };
    }
    after = nameBytes(nameOfEntryKey(key));
    work += value === undefined ? 1 : ENTRY_WORK;
    if (value === undefined) continue;
    const inode = present(view.inode(value.inode), "every entry has an inode");
    entries.push({ name: after, attributes: attributesOf(reading.records, inode, at) });
  }
  return { entries, isLast: true, after: null };
}

/** A name of a directory. `value` is undefined if it was no entry at the index that is read. */
interface EntryRow {
  readonly key: Key;
  readonly value: EntryRecord | undefined;
}

/** Yields the names of a directory after a name, in byte order. */
function* entriesOf(
  { records, isPast, at }: ReadView,
  { id }: DirectoryInode,
  after: EntryName | undefined,
): Generator<EntryRow, void, void> {
  const prefix = entryPrefix(id);
  const from = after === undefined ? undefined : entryKey(id, bytesToText(after));
  const start = from === undefined ? prefix : keyAfter(from);
  const present = records.scan(ENTRIES, { start, end: prefixEnd(prefix) });
  if (!isPast) {
    yield* present;
    return;
  }
  const inHistory = (TABLE_BYTE.history + prefix) as Key;
  const pastStart = from === undefined ? inHistory : prefixEnd(historyPrefix(from));
  const range = { start: pastStart, end: prefixEnd(inHistory) };
  const past = historyVersionsAt(records, range, at) as Generator<EntryRow, void, void>;
  yield* merged(existingAt(present, at), past);
}

/** Yields the current entries, without those that did not exist yet at `at`. */
function* existingAt(
  rows: Generator<Row<EntryRecord>, void, void>,
  at: LogIndex,
): Generator<EntryRow, void, void> {
  for (const { key, value } of rows) yield { key, value: value.version <= at ? value : undefined };
}

/**
 * Merges two sequences in key order. At most one of two rows with the same key has a value, because at
 * most one version of a record exists at an index.
 */
function* merged(
  left: Generator<EntryRow, void, void>,
  right: Generator<EntryRow, void, void>,
): Generator<EntryRow, void, void> {
  try {
    const nextOf = (rows: typeof left): EntryRow | undefined => rows.next().value ?? undefined;
    let first = nextOf(left);
    let second = nextOf(right);
    while (first !== undefined || second !== undefined) {
      const key: Key = smallerKey(first, second);
      const isFirst = first?.key === key;
      const isSecond = second?.key === key;
      const value = isFirst ? first?.value : undefined;
      yield { key, value: value ?? (isSecond ? second?.value : undefined) };
      if (isFirst) first = nextOf(left);
      if (isSecond) second = nextOf(right);
    }
  } finally {
    left.return();
    right.return();
  }
}

function smallerKey(first: EntryRow | undefined, second: EntryRow | undefined): Key {
  if (first === undefined) return present(second, "one of the rows exists").key;
  return second === undefined || first.key < second.key ? first.key : second.key;
}

/** Most chunks of one answer: about 20 ms. A caller asks again from the next position on. */
const LOCATED_CHUNKS_MAX = 1_000;

/**
 * Returns a part of a file's content and its servers: at most LOCATED_CHUNKS_MAX chunks.
 *
 * @throws {Refusal} IS_A_DIRECTORY, NOT_FOUND
 */
export function locate(
  reading: ReadView,
  target: Target,
  part: { readonly firstPosition: number; readonly count: number },
): ContentPart {
  const { records, state, at } = reading;
  const file = find(reading.view, target);
  if (file.kind === "directory") {
    throw refusal("not-file", { path: showTarget(reading.view, target) });
  }
  const attributes = attributesOf(state, file, at);
  const { content } = file;
  if (content.kind === "inline") return { attributes, inlineBytes: content.bytes, chunks: [] };
  const count = Math.min(part.count, LOCATED_CHUNKS_MAX);
  const end = Math.min(content.chunkCount, part.firstPosition + count);
  const view = uncountedView(reading);
  const chunks: ContentPart["chunks"][number][] = [];
  for (let position = part.firstPosition; position < end; position += 1) {
    const record = present(
      view.position(content.contentId, position),
      "a content has one position for each chunk",
    );
    const { chunkId: id, lengthBytes } = record;
    const chunk = present(records.chunk(id), "the state has the chunk of every position");
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
