import { present } from "../../shared/base/assert.ts";
import type { ChunkId, InodeId, LogIndex, SessionId } from "../../shared/base/ids.ts";
import type { StorageClass } from "../../shared/protocol/namespace-api.ts";
import type { RestoredFrom } from "../state-machine.ts";
import type { ClusterFacts } from "./command.ts";
import { FEATURE_LEVEL_FIRST } from "./feature-levels.ts";
import {
  type ByteText,
  type ContentId,
  chunkKey,
  contentKey,
  directoryKey,
  entryKey,
  historyPrefix,
  inodeKey,
  type Key,
  META_KEY,
  positionKey,
  prefixEnd,
  sessionKey,
  storageClassKey,
  supersededIndexOf,
  tombstoneKey,
  u64,
} from "./keys.ts";
import type { KeyRange, RecordReader, Row } from "./overlay.ts";
import type {
  ChunkRecord,
  ClockStep,
  ContentRecord,
  DirectoryRecord,
  EnrolmentRecord,
  EntryRecord,
  InodeRecord,
  PositionRecord,
  SessionRecord,
  TotalsRecord,
} from "./records.ts";
import {
  CHUNKS,
  CLOCK_STEPS,
  CLUSTER_FACTS,
  CONTENTS,
  DIRECTORIES,
  ENROLMENT,
  FEATURE_LEVEL,
  POSITIONS,
  RESTORED,
  SESSIONS,
  STORAGE_CLASSES,
  type Table,
  TOMBSTONES,
  TOTALS,
} from "./tables.ts";
import { ENTRIES, HISTORY, INODES, type VersionedRecord } from "./tree-tables.ts";

export const ROOT_INODE = 1 as InodeId;

/** The records of the tables with a history: the current records, or those as of one index. */
export interface TreeView {
  inode(id: InodeId): InodeRecord | undefined;
  entry(parent: InodeId, name: ByteText): EntryRecord | undefined;
  position(contentId: ContentId, position: number): PositionRecord | undefined;
}

/** Typed reads of the current state. `Change` extends this class with the writes. */
export class State implements RecordReader, TreeView {
  readonly #records: RecordReader;

  constructor(records: RecordReader) {
    this.#records = records;
  }

  get<Value>(table: Table<Value>, key: Key): Value | undefined {
    return this.#records.get(table, key);
  }

  rows<Value>(table: Table<Value>, range: KeyRange, limit: number): Row<Value>[] {
    return this.#records.rows(table, range, limit);
  }

  scan<Value>(table: Table<Value>, range: KeyRange): Generator<Row<Value>, void, void> {
    return this.#records.scan(table, range);
  }

  inode(id: InodeId): InodeRecord | undefined {
    return this.#records.get(INODES, inodeKey(id));
  }

  entry(parent: InodeId, name: ByteText): EntryRecord | undefined {
    return this.#records.get(ENTRIES, entryKey(parent, name));
  }

  position(contentId: ContentId, position: number): PositionRecord | undefined {
    return this.#records.get(POSITIONS, positionKey(contentId, position));
  }

  /** Returns the directory record of a directory inode. */
  directory(id: InodeId): DirectoryRecord {
    const record = this.#records.get(DIRECTORIES, directoryKey(id));
    return present(record, "every directory inode has a directory record");
  }

  hasDirectory(id: InodeId): boolean {
    return this.#records.get(DIRECTORIES, directoryKey(id)) !== undefined;
  }

  content(id: ContentId): ContentRecord {
    const record = this.#records.get(CONTENTS, contentKey(id));
    return present(record, "the state has every content that is referenced");
  }

  chunk(id: ChunkId): ChunkRecord | undefined {
    return this.#records.get(CHUNKS, chunkKey(id));
  }

  /** Returns the index of the entry that removed the chunk. Undefined without a tombstone. */
  tombstone(id: ChunkId): LogIndex | undefined {
    return this.#records.get(TOMBSTONES, tombstoneKey(id));
  }

  session(id: SessionId): SessionRecord | undefined {
    return this.#records.get(SESSIONS, sessionKey(id));
  }

  storageClass(name: string): StorageClass | undefined {
    return this.#records.get(STORAGE_CLASSES, storageClassKey(name));
  }

  /** The facts of the cluster. Undefined before `bootstrap`. */
  get clusterFacts(): ClusterFacts | undefined {
    return this.#records.get(CLUSTER_FACTS, META_KEY.clusterFacts);
  }

  /** Undefined if the state did not begin with a restore from a backup. */
  get restored(): RestoredFrom | undefined {
    return this.#records.get(RESTORED, META_KEY.restored);
  }

  /** Undefined below feature level 13. */
  get enrolment(): EnrolmentRecord | undefined {
    return this.#records.get(ENROLMENT, META_KEY.enrolment);
  }

  /** The steps of the clock, by ascending index. A new step drops those that are before all time rows. */
  get clockSteps(): readonly ClockStep[] {
    return this.#records.get(CLOCK_STEPS, META_KEY.clockSteps) ?? [];
  }

  get featureLevel(): number {
    return this.#records.get(FEATURE_LEVEL, META_KEY.featureLevel) ?? FEATURE_LEVEL_FIRST;
  }

  get totals(): TotalsRecord {
    return this.#records.get(TOTALS, META_KEY.totals) ?? NO_TOTALS;
  }
}

/** The totals before the first entry. */
const NO_TOTALS: TotalsRecord = {
  nextInode: ROOT_INODE,
  nextContent: 1 as ContentId,
  clockMs: 0,
  timedMs: 0,
  historyFloor: 0 as LogIndex,
  intentFloor: 0 as LogIndex,
  fileCount: 0,
  directoryCount: 0,
  chunkCount: 0,
  logicalBytes: 0,
  purgesPending: 0,
  historyVersions: 0,
  feedFloor: 0 as LogIndex,
  feedBytes: 0,
  stagedBytes: 0,
};

/**
 * The tree as it was after the entry `at`.
 *
 * A version of a record exists from the index that wrote it (its `version`) until the index that
 * superseded it (in its history key). The current version has no end. So at most one version exists
 * at `at`.
 */
export class PastView implements TreeView {
  readonly #records: RecordReader;
  readonly #at: LogIndex;

  constructor(records: RecordReader, at: LogIndex) {
    this.#records = records;
    this.#at = at;
  }

  inode(id: InodeId): InodeRecord | undefined {
    return this.#versionOf(INODES, inodeKey(id));
  }

  entry(parent: InodeId, name: ByteText): EntryRecord | undefined {
    return this.#versionOf(ENTRIES, entryKey(parent, name));
  }

  position(contentId: ContentId, position: number): PositionRecord | undefined {
    return this.#versionOf(POSITIONS, positionKey(contentId, position));
  }

  #versionOf<Value extends VersionedRecord>(table: Table<Value>, key: Key): Value | undefined {
    return versionAt(this.#records, table, key, this.#at).value;
  }
}

/** The version of a record that existed at an index, and the end of this version. */
export interface VersionAt<Value> {
  /** Undefined if no version existed. */
  readonly value: Value | undefined;
  /**
   * Index of the entry that superseded the version. If no version existed, the index of the entry
   * that wrote the next version. Null if no such entry exists.
   */
  readonly supersededIndex: LogIndex | null;
}

/** Returns the version of a record that existed at the index `at`. */
export function versionAt<Value extends VersionedRecord>(
  records: RecordReader,
  table: Table<Value>,
  key: Key,
  at: LogIndex,
): VersionAt<Value> {
  const current = records.get(table, key);
  if (current !== undefined && current.version <= at)
    return { value: current, supersededIndex: null };
  const versions = historyPrefix(key);
  const start = (versions + u64(at + 1)) as Key;
  const [first] = records.rows(HISTORY, { start, end: prefixEnd(versions) }, 1);
  if (first === undefined) return { value: undefined, supersededIndex: current?.version ?? null };
  const value = first.value as Value;
  if (value.version > at) return { value: undefined, supersededIndex: value.version };
  return { value, supersededIndex: supersededIndexOf(first.key) };
}
