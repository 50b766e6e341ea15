import { assert, present } from "../../shared/base/assert.ts";
import type { Digest, InodeId, LogIndex } from "../../shared/base/ids.ts";
import { joinPath, PATH_BYTES_MAX } from "../../shared/base/path.ts";
import type { FeedEvent, FeedPosition } from "../../shared/protocol/feed-api.ts";
import type { FeedRecord } from "./feed-records.ts";
import { FEED, FEED_END, feedIndexOf, feedKey, feedPositionOf } from "./feed-table.ts";
import { oldestEvent } from "./feed-trim.ts";
import { type ByteText, keyAfter, nameBytes } from "./keys.ts";
import type { Row } from "./overlay.ts";
import { Refusal } from "./refusal.ts";
import { PastView, ROOT_INODE, type State, type TreeView } from "./state.ts";

/** What one look at the feed wants. */
export interface FeedRequest {
  readonly from: FeedPosition;
  /** The names of the path that is watched. */
  readonly within: readonly ByteText[];
  /** Events that it may look at, of the path or not. */
  readonly rowsMax: number;
  /** Ends the page after the event that passes it. */
  readonly bytesMax: number;
}

export interface FeedPage {
  /** Those that concern the path, in order. */
  readonly events: readonly FeedEvent[];
  readonly next: FeedPosition;
  /** There was nothing after it when it was read. */
  readonly isLast: boolean;
}

/** A name in a directory, at some moment of an entry. */
interface EntryLocation {
  readonly parent: InodeId;
  readonly name: ByteText;
}

interface DirectoryMove extends EntryLocation {
  readonly sequence: number;
}

/** The directories that an entry moved or removed, with where each was before, in order. */
type Moves = ReadonlyMap<InodeId, readonly DirectoryMove[]>;

/** Where an event is judged: the state after its entry, and what moved in the entry after it. */
interface EventContext {
  readonly view: TreeView;
  readonly moves: Moves;
  readonly sequence: number;
}

/** All events from this index on can be read. It is past the last one that was lost, and no more. */
export function oldestFeedIndex(state: State): LogIndex {
  const { feedFloor, historyFloor } = state.totals;
  const oldest = oldestEvent(state);
  const isWhole = oldest === undefined || (oldest >= feedFloor && oldest > historyFloor);
  return isWhole ? feedFloor : (Math.max(feedFloor, historyFloor + 1) as LogIndex);
}

/** Where the feed is read. */
export interface FeedSource {
  readonly state: State;
  readonly appliedIndex: LogIndex;
  /** `contentRoot` of an empty file of the default chunk size. */
  readonly emptyRoot: Digest;
}

/** @throws {Refusal} INDEX_EXPIRED if events from the position on are gone. */
export function readFeed(source: FeedSource, request: FeedRequest): FeedPage {
  const { state, appliedIndex } = source;
  const { from, rowsMax, bytesMax } = request;
  checkKept(state, from);
  const rows = state.rows(FEED, { start: feedKey(from), end: FEED_END }, rowsMax);
  const isCut = rows.length === rowsMax;
  const events: FeedEvent[] = [];
  let bytes = 0;
  for (const entry of byEntry(rows)) {
    const isLastEntry = entry.at(-1) === rows.at(-1);
    const moves = movesOf(isLastEntry && isCut ? withRestOfEntry(state, entry) : entry);
    const view = new PastView(state, indexOf(entry));
    for (const { key, value } of entry) {
      const position = feedPositionOf(key);
      const moment = { view, moves, sequence: position.sequence };
      const event = eventFor(request.within, { position, record: value, moment }, source);
      if (event === null) continue;
      events.push(event);
      bytes += eventBytes(event);
      if (bytes > bytesMax) return { events, next: after(position), isLast: false };
    }
  }
  const last = rows.at(-1);
  if (isCut && last !== undefined) {
    return { events, next: after(feedPositionOf(last.key)), isLast: false };
  }
  const end = { index: (appliedIndex + 1) as LogIndex, sequence: 0 };
  return { events, next: laterOf(from, end), isLast: true };
}

const after = ({ index, sequence }: FeedPosition): FeedPosition => ({
  index,
  sequence: sequence + 1,
});

const laterOf = (left: FeedPosition, right: FeedPosition): FeedPosition =>
  left.index > right.index || (left.index === right.index && left.sequence > right.sequence)
    ? left
    : right;

function checkKept(state: State, from: FeedPosition): void {
  const oldestIndex = oldestFeedIndex(state);
  if (from.index >= oldestIndex) return;
  throw new Refusal(
    "INDEX_EXPIRED",
    `Cannot watch from index ${from.index}: expected ${oldestIndex} or later: older events are gone`,
    { oldestIndex },
  );
}

type FeedRow = Row<FeedRecord>;

const indexOf = (entry: readonly FeedRow[]): LogIndex =>
  feedIndexOf(present(entry[0], "an entry of the feed has an event").key);

/** The rows of one entry each, in order. */
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

/** The entry's rows with those that the page had no room for. */
function withRestOfEntry(state: State, entry: readonly FeedRow[]): readonly FeedRow[] {
  const last = present(entry.at(-1), "an entry of the feed has an event").key;
  const end = feedKey({ index: (feedIndexOf(last) + 1) as LogIndex, sequence: 0 });
  const others = state.scan(FEED, { start: keyAfter(last), end });
  return [...entry, ...others];
}

function movesOf(entry: readonly FeedRow[]): Moves {
  const moves = new Map<InodeId, DirectoryMove[]>();
  // Only what happened after an event bears on its paths.
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

/** Where the inode was before an event that took it from there. */
function locationBefore(record: FeedRecord): EntryLocation | null {
  if (record.kind === "renamed") return record.from;
  return record.kind === "removed" ? locationOf(record) : null;
}

function locationOf({ parent, name }: FeedRecord): EntryLocation | null {
  return parent === null ? null : { parent, name };
}

/**
 * The names from the root to the spot, as they were when the event's operation ran.
 *
 * The views show the state after the whole entry. A directory above that the entry moved or removed
 * later stood, at this moment, where the first of those later moves took it from.
 */
function namesOf({ view, moves, sequence }: EventContext, spot: EntryLocation | null): ByteText[] {
  const names: ByteText[] = [];
  let next = spot;
  while (next !== null) {
    names.push(next.name);
    const above: InodeId = next.parent;
    next = above === ROOT_INODE ? null : spotAt(above);
  }
  return names.reverse();

  function spotAt(directory: InodeId): EntryLocation {
    const move = moves.get(directory)?.find((each) => each.sequence > sequence);
    if (move !== undefined) return move;
    const inode = present(
      view.inode(directory),
      "a directory in which something happened is known",
    );
    assert(inode.parent !== null, "a directory in which something happened was in the tree");
    return { parent: inode.parent, name: inode.name };
  }
}

interface StoredEvent {
  readonly position: FeedPosition;
  readonly record: FeedRecord;
  readonly moment: EventContext;
}

/** The event as watchers see it; null if it is not theirs. */
function eventFor(
  within: readonly ByteText[],
  { position, record, moment }: StoredEvent,
  { emptyRoot }: FeedSource,
): FeedEvent | null {
  const names = namesOf(moment, locationOf(record));
  const fromNames = record.kind === "renamed" ? namesOf(moment, record.from) : null;
  const concerns = (place: readonly ByteText[]): boolean =>
    startsWith(place, within) || (affectsSubtree(record) && startsWith(within, place));
  if (!concerns(names) && (fromNames === null || !concerns(fromNames))) return null;
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
    const from = { parent, name: nameBytes(name), path: pathOf(fromNames ?? []) };
    return { ...record, ...common, from };
  }
  // Most files begin empty: the root that they have in common is left out of their records.
  const isLeftOut = "contentRoot" in record && record.contentRoot === null;
  const root = isLeftOut && record.inodeKind === "file" ? { contentRoot: emptyRoot } : {};
  return { ...record, ...common, ...root } as FeedEvent;
}

/** Whether the event moves or removes what lies below, too. */
const affectsSubtree = ({ kind, inodeKind }: FeedRecord): boolean =>
  inodeKind === "directory" && (kind === "renamed" || kind === "removed");

/** Whether `names` begin with all of `first`. */
function startsWith(names: readonly ByteText[], first: readonly ByteText[]): boolean {
  return names.length >= first.length && first.every((name, index) => names[index] === name);
}

function pathOf(names: readonly ByteText[]): Uint8Array | null {
  const path = joinPath(names.map(nameBytes));
  return path.length > PATH_BYTES_MAX ? null : path;
}

/** What it takes in a message, about. */
function eventBytes(event: FeedEvent): number {
  const fromBytes = event.kind === "renamed" ? (event.from.path?.length ?? 0) : 0;
  return 300 + event.name.length + (event.path?.length ?? 0) + fromBytes;
}
