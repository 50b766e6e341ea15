import { assert, present } from "../../shared/base/assert.ts";
import type { Digest, InodeId, LogIndex } from "../../shared/base/ids.ts";
import { joinPath } from "../../shared/base/path.ts";
import { PATH_BYTES_MAX } from "../../shared/base/path-faults.ts";
import type { FeedEvent, FeedPosition } from "../../shared/protocol/feed-api.ts";
import type { FeedRecord } from "./feed-records.ts";
import { FEED, FEED_END, feedIndexOf, feedKey, feedPositionOf } from "./feed-table.ts";
import { oldestEvent } from "./feed-trim.ts";
import { type ByteText, keyAfter, nameBytes } from "./keys.ts";
import type { Row } from "./overlay.ts";
import { CountedRecords, ReadBudget } from "./read-budget.ts";
import { refusal } from "./refusal.ts";
import { STAGED_ROOT } from "./staged-totals.ts";
import { PastView, ROOT_INODE, type State, type TreeView } from "./state.ts";
import { concernsWatch, type WatchedPath } from "./watched-path.ts";

/** The bounds of one page of the feed. */
export interface FeedRequest {
  readonly from: FeedPosition;
  readonly within: WatchedPath;
  /** Bound of the events to read, whether they concern the path or not. */
  readonly rowsMax: number;
  /** Bound of the page in bytes. The page ends after the event that exceeds the bound. */
  readonly bytesMax: number;
}

/** One page of the feed. */
export interface FeedPage {
  /** The events of the page that concern the watched path, in order. */
  readonly events: readonly FeedEvent[];
  /** Position where the next page starts. */
  readonly next: FeedPosition;
  /** Whether the feed had no event after the page when the page was read. */
  readonly isLast: boolean;
}

/** The paths of an event, as names from the root down. */
export interface FeedPlaces {
  readonly position: FeedPosition;
  /** Null in an unfinished tree, which has no path. */
  readonly names: readonly ByteText[] | null;
  /** The path before a rename. Null for other events, and if it was in an unfinished tree. */
  readonly fromNames: readonly ByteText[] | null;
  /** Whether the event moves or removes the whole subtree of its inode. */
  readonly affectsSubtree: boolean;
}

/** The directory and the name of an inode, at one point within an entry. */
interface EntryLocation {
  readonly parent: InodeId;
  readonly name: ByteText;
}

interface DirectoryMove extends EntryLocation {
  readonly sequence: number;
}

/** The directories that an entry moved or removed, with their earlier locations, in order. */
type Moves = ReadonlyMap<InodeId, readonly DirectoryMove[]>;

/** The data that `namesOf` needs to reconstruct the tree as it was after one event of an entry. */
interface EventContext {
  /** The tree after the whole entry. */
  readonly view: TreeView;
  readonly moves: Moves;
  /** Number of the event in its entry. */
  readonly sequence: number;
}

/** Rows of paths after which a page ends. They take about 10 ms. */
const PATH_ROWS_MAX = 5_000;

/** Returns the lowest index from which the feed contains every event with its paths. */
export function oldestFeedIndex(state: State): LogIndex {
  const { feedFloor, historyFloor } = state.totals;
  const oldest = oldestEvent(state);
  const isWhole = oldest === undefined || (oldest >= feedFloor && oldest > historyFloor);
  return isWhole ? feedFloor : (Math.max(feedFloor, historyFloor + 1) as LogIndex);
}

/** The state that a feed page is read from. */
export interface FeedSource {
  readonly state: State;
  readonly appliedIndex: LogIndex;
  /** `contentRoot` of an empty file of the default chunk size. */
  readonly emptyRoot: Digest;
}

/**
 * Reads one page of the feed. The work is bounded by `rowsMax` and PATH_ROWS_MAX, plus the rest of the last
 * entry and the path of one event.
 *
 * @throws {Refusal} INDEX_EXPIRED if the feed no longer has every event from `from` on
 */
export function readFeed(source: FeedSource, request: FeedRequest): FeedPage {
  checkKept(source.state, request.from);
  const { stored: all, budget, next, isLast } = readRows(source, request);
  const events: FeedEvent[] = [];
  let bytes = 0;
  for (const stored of all) {
    const event = eventFor(request.within, stored, source);
    if (event !== null) {
      events.push(event);
      bytes += eventBytes(event);
    }
    if (bytes > request.bytesMax || budget.rows > PATH_ROWS_MAX) {
      return { events, next: after(stored.position), isLast: false };
    }
  }
  return { events, next, isLast };
}

/** The paths of some events in order. */
export interface PlacesPage {
  readonly places: readonly FeedPlaces[];
  /** Position where the next page starts. */
  readonly next: FeedPosition;
}

/**
 * Reads the paths of at most `rowsMax` events from a position on. Null if the feed no longer has every
 * event from there on.
 */
export function readPlaces(
  source: Pick<FeedSource, "state" | "appliedIndex">,
  request: Pick<FeedRequest, "from" | "rowsMax">,
): PlacesPage | null {
  if (!isKept(source.state, request.from)) return null;
  const { stored: all, budget, next } = readRows(source, request);
  const places: FeedPlaces[] = [];
  for (const stored of all) {
    places.push(placesOf(stored));
    if (budget.rows > PATH_ROWS_MAX) return { places, next: after(stored.position) };
  }
  return { places, next };
}

/** At most `rowsMax` events of the feed, with what a page of them needs. */
interface StoredRows {
  readonly stored: Generator<StoredEvent, void, void>;
  /** Counts the rows that the paths of the events need. */
  readonly budget: ReadBudget;
  /** Position after all of `stored`. */
  readonly next: FeedPosition;
  /** Whether the feed has no event after them. */
  readonly isLast: boolean;
}

function readRows(
  { state, appliedIndex }: Pick<FeedSource, "state" | "appliedIndex">,
  { from, rowsMax }: Pick<FeedRequest, "from" | "rowsMax">,
): StoredRows {
  const rows = state.rows(FEED, { start: feedKey(from), end: FEED_END }, rowsMax);
  const isCut = rows.length === rowsMax;
  const budget = new ReadBudget(Number.POSITIVE_INFINITY);
  const stored = storedEvents(state, { rows, isCut, budget });
  const last = rows.at(-1);
  if (isCut && last !== undefined) {
    return { stored, budget, next: after(feedPositionOf(last.key)), isLast: false };
  }
  const end = { index: (appliedIndex + 1) as LogIndex, sequence: 0 };
  return { stored, budget, next: isBefore(from, end) ? end : from, isLast: true };
}

const after = ({ index, sequence }: FeedPosition): FeedPosition => ({
  index,
  sequence: sequence + 1,
});

/** Returns whether a position of the feed is before another one. */
export function isBefore(left: FeedPosition, right: FeedPosition): boolean {
  return left.index < right.index || (left.index === right.index && left.sequence < right.sequence);
}

/** Returns whether the feed has every event from a position on. At its end it needs no row. */
function isKept(state: State, { index }: FeedPosition): boolean {
  const { feedFloor, historyFloor } = state.totals;
  return index >= Math.max(feedFloor, historyFloor + 1) || index >= oldestFeedIndex(state);
}

function checkKept(state: State, from: FeedPosition): void {
  if (isKept(state, from)) return;
  const oldestIndex = oldestFeedIndex(state);
  throw refusal("feed-reclaimed", { index: from.index, oldestIndex }, { oldestIndex });
}

type FeedRow = Row<FeedRecord>;

const indexOf = (entry: readonly FeedRow[]): LogIndex =>
  feedIndexOf(present(entry[0], "a group of feed rows is not empty").key);

/**
 * Yields the events of the rows with the context that their paths need.
 *
 * @param page.isCut whether the last entry may have more rows
 * @param page.budget counts the rows that the paths of the events need
 */
function* storedEvents(
  state: State,
  page: { readonly rows: readonly FeedRow[]; readonly isCut: boolean; readonly budget: ReadBudget },
): Generator<StoredEvent, void, void> {
  const { rows, isCut, budget } = page;
  const counted = new CountedRecords(state, budget);
  for (const entry of byEntry(rows)) {
    const isLastEntry = entry.at(-1) === rows.at(-1);
    const moves = movesOf(isLastEntry && isCut ? withRestOfEntry(state, entry) : entry);
    const view = new PastView(counted, indexOf(entry));
    for (const { key, value } of entry) {
      const position = feedPositionOf(key);
      const context = { view, moves, sequence: position.sequence };
      yield { position, record: value, context };
    }
  }
}

/** Groups the rows by log entry and yields the groups in order. */
function* byEntry(rows: readonly FeedRow[]): Generator<readonly FeedRow[], void, void> {
  let start = 0;
  for (let end = 1; end <= rows.length; end += 1) {
    const isSame = end < rows.length && feedIndexOf(at(rows, end)) === feedIndexOf(at(rows, start));
    if (isSame) continue;
    yield rows.slice(start, end);
    start = end;
  }
}

const at = (rows: readonly FeedRow[], position: number): FeedRow["key"] =>
  present(rows[position], "the position is in the page").key;

/** Returns the rows of an entry, including those past the end of the page. */
function withRestOfEntry(state: State, entry: readonly FeedRow[]): readonly FeedRow[] {
  const last = present(entry.at(-1), "a group of feed rows is not empty").key;
  const end = feedKey({ index: (feedIndexOf(last) + 1) as LogIndex, sequence: 0 });
  const others = state.scan(FEED, { start: keyAfter(last), end });
  return [...entry, ...others];
}

function movesOf(entry: readonly FeedRow[]): Moves {
  const moves = new Map<InodeId, DirectoryMove[]>();
  // The first event is left out: only events after an event affect how its paths are reconstructed.
  for (const { key, value } of entry.slice(1)) {
    if (value.inodeKind !== "directory") continue;
    const spot = locationBefore(value);
    if (spot === null) continue;
    const known = moves.get(value.inode) ?? [];
    known.push({ ...spot, sequence: feedPositionOf(key).sequence });
    moves.set(value.inode, known);
  }
  return moves;
}

/**
 * Returns the location that a rename or removal took the inode away from. Null for other events.
 */
function locationBefore(record: FeedRecord): EntryLocation | null {
  if (record.kind === "renamed") return record.from;
  return record.kind === "removed" ? locationOf(record) : null;
}

function locationOf({ parent, name }: FeedRecord): EntryLocation | null {
  return parent === null ? null : { parent, name };
}

/**
 * Returns the names from the root down to a location, as they were when the event's operation ran.
 *
 * `view` shows the tree after the whole entry. If the entry moved or removed an ancestor directory
 * after the event, the location of that directory at the event is where the first of these later
 * moves took it from.
 *
 * @returns null in an unfinished tree, which has no path
 */
function namesOf(
  { view, moves, sequence }: EventContext,
  spot: EntryLocation | null,
): ByteText[] | null {
  const names: ByteText[] = [];
  let next = spot;
  while (next !== null) {
    names.push(next.name);
    const above: InodeId = next.parent;
    if (above === STAGED_ROOT) return null;
    next = above === ROOT_INODE ? null : spotAt(above);
  }
  return names.reverse();

  function spotAt(directory: InodeId): EntryLocation {
    const move = moves.get(directory)?.find((each) => each.sequence > sequence);
    if (move !== undefined) return move;
    const inode = present(
      view.inode(directory),
      "the history has every directory of an event in the feed",
    );
    assert(inode.parent !== null, "the directory of an event was in the tree");
    return { parent: inode.parent, name: inode.name };
  }
}

interface StoredEvent {
  readonly position: FeedPosition;
  readonly record: FeedRecord;
  readonly context: EventContext;
}

function placesOf({ position, record, context }: StoredEvent): FeedPlaces {
  const names = namesOf(context, locationOf(record));
  const fromNames = record.kind === "renamed" ? namesOf(context, record.from) : null;
  return { position, names, fromNames, affectsSubtree: affectsSubtree(record) };
}

/** Returns the event with its paths. Null if the event does not concern the watched path. */
function eventFor(
  within: WatchedPath,
  stored: StoredEvent,
  { emptyRoot }: FeedSource,
): FeedEvent | null {
  const { position, record } = stored;
  const { names, fromNames } = placesOf(stored);
  // Only a watch of the root has the events of unfinished trees: with them it knows what is in a tree
  // when it is published.
  const concerns = (place: readonly ByteText[] | null): boolean =>
    place === null ? within.length === 0 : concernsWatch(within, place, affectsSubtree(record));
  if (!concerns(names) && (record.kind !== "renamed" || !concerns(fromNames))) return null;
  const common = {
    ...position,
    timeMs: record.timeMs,
    inode: record.inode,
    inodeKind: record.inodeKind,
    parent: record.parent,
    name: nameBytes(record.name),
    path: pathOf(names),
  };
  if (record.kind === "renamed") {
    const { parent, name } = record.from;
    const from = { parent, name: nameBytes(name), path: pathOf(fromNames) };
    return { ...record, ...common, from };
  }
  // The records leave out the root of an empty file, because most files start empty.
  const isOmitted = "contentRoot" in record && record.contentRoot === null;
  const root = isOmitted && record.inodeKind === "file" ? { contentRoot: emptyRoot } : {};
  return { ...record, ...common, ...root } as FeedEvent;
}

/** Returns whether the event moves or removes the whole subtree of its inode. */
const affectsSubtree = ({ kind, inodeKind }: FeedRecord): boolean =>
  inodeKind === "directory" && (kind === "renamed" || kind === "removed");

/** Returns the path of the names. Null without names, or if the protocol has no place for it. */
function pathOf(names: readonly ByteText[] | null): Uint8Array | null {
  if (names === null) return null;
  const path = joinPath(names.map(nameBytes));
  return path.length > PATH_BYTES_MAX ? null : path;
}

/** Returns the approximate size of the event in a message. */
function eventBytes(event: FeedEvent): number {
  const fromBytes = event.kind === "renamed" ? (event.from.path?.length ?? 0) : 0;
  return 300 + event.name.length + (event.path?.length ?? 0) + fromBytes;
}
