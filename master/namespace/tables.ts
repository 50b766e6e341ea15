import { Packr } from "msgpackr";
import { assert } from "../../shared/base/assert.ts";
import type {
  ChunkId,
  InodeId,
  LogIndex,
  ServerId,
  SessionId,
  Term,
} from "../../shared/base/ids.ts";
import type { ServerLocation } from "../../shared/protocol/intent.ts";
import type { StorageClass } from "../../shared/protocol/namespace-api.ts";
import type { RestoredFrom } from "../state-machine.ts";
import type { ClusterFacts, Outcome } from "./command.ts";
import { bytesToText, hexToText, type Key, readU64, textToBytes, textToHex } from "./keys.ts";
import type {
  AppliedRecord,
  ChunkRecord,
  ClockStep,
  ContentRecord,
  DirectoryRecord,
  EnrolmentRecord,
  PositionRecord,
  SessionRecord,
  StagedRecord,
  StagedTotalsRecord,
  TotalsRecord,
  UploadSegments,
} from "./records.ts";
import { refusedFields, refusedOfFields } from "./refused-rows.ts";

/** The encoding of one table's values. Equal records have equal bytes on every member. */
export interface Table<Value> {
  encode(value: Value, key: Key): Uint8Array;
  decode(bytes: Uint8Array, key: Key): Value;
  /** Approximate memory of the value in bytes, without a small constant. */
  sizeBytes(value: Value): number;
  /** Returns whether the decoded value is kept in memory after a read. */
  isCached(value: Value): boolean;
  /** Whether the table holds versioned records, present or superseded: only `Change` writes it. */
  readonly isVersioned: boolean;
}

/** A table whose records have no history: a superseded value is lost. */
export interface UnversionedTable<Value> extends Table<Value> {
  readonly isVersioned: false;
}

/** The fields of a record in their order on disk. */
export type Fields = readonly unknown[];

const always = (): boolean => true;
const never = (): boolean => false;

const packr = new Packr({ useRecords: false });
/** Version of the encoding of every record, its first byte or field. */
export const RECORD_VERSION = 1;

/** Returns the fields of a row of a table of msgpack arrays. */
function fieldsOf(bytes: Uint8Array): Fields {
  const fields = packr.unpack(bytes) as unknown[];
  assert(fields.shift() === RECORD_VERSION, "the version of a record is supported");
  return fields;
}

/** Makes a table of msgpack arrays: the version of the record, then its fields in order. */
export function table<Value>(options: {
  readonly toFields: (value: Value) => Fields;
  readonly fromFields: (fields: Fields, key: Key) => Value;
  readonly sizeBytes?: (value: Value) => number;
  readonly isCached?: (value: Value) => boolean;
}): UnversionedTable<Value> {
  const { toFields, fromFields, sizeBytes = () => 0, isCached = never } = options;
  return {
    encode: (value) => packr.pack([RECORD_VERSION, ...toFields(value)]),
    decode: (bytes, key) => fromFields(fieldsOf(bytes), key),
    sizeBytes,
    isCached,
    isVersioned: false,
  };
}

/** Makes a table whose keys contain all information. Its values are empty. */
const keysOnly = (): UnversionedTable<true> =>
  table({ toFields: () => [], fromFields: () => true as const });

/** Makes a table whose values are log indexes. */
const indexes = (): UnversionedTable<LogIndex> =>
  table({ toFields: (index) => [index], fromFields: ([index]) => index as LogIndex });

/** Copies decoded bytes, which are a view of the store's memory. */
export const ownBytes = (bytes: unknown): Uint8Array => new Uint8Array(bytes as Uint8Array);

const idBytes = (hex: string): Uint8Array => textToBytes(hexToText(hex));
const idHex = (bytes: unknown): string => textToHex(bytesToText(bytes as Uint8Array));

/**
 * Makes a table of plain objects, for records that are small, rare and likely to get more fields.
 */
function objects<Value extends object>(isCached: () => boolean): UnversionedTable<Value> {
  return table<Value>({
    toFields: (value) => [value],
    fromFields: ([value]) => value as Value,
    sizeBytes: () => 500,
    isCached,
  });
}

export const DIRECTORIES: UnversionedTable<DirectoryRecord> = table({
  toFields: (value) => [value.entryCount, value.mtimeMs, value.ctimeMs, value.version],
  fromFields: ([entryCount, mtimeMs, ctimeMs, version]) =>
    ({ entryCount, mtimeMs, ctimeMs, version }) as DirectoryRecord,
  isCached: always,
});

export const CONTENTS: UnversionedTable<ContentRecord> = table({
  toFields: (value) => [value.referenceCount],
  fromFields: ([referenceCount]) => ({ referenceCount }) as ContentRecord,
});

export const POSITIONS: Table<PositionRecord> = {
  ...table<PositionRecord>({
    toFields: (value) => [idBytes(value.chunkId), value.lengthBytes, value.version],
    fromFields: ([id, lengthBytes, version]) =>
      ({ chunkId: idHex(id), lengthBytes, version }) as PositionRecord,
    sizeBytes: () => 100,
  }),
  isVersioned: true,
};

export const CHUNKS: UnversionedTable<ChunkRecord> = table({
  toFields: ({ lengthBytes, referenceCount, copiesWanted, replicas }) => [
    lengthBytes,
    referenceCount,
    copiesWanted,
    ...replicas.flatMap((replica) => [idBytes(replica.serverId), replica.intentIndex]),
  ],
  fromFields: ([lengthBytes, referenceCount, copiesWanted, ...rest]) => {
    const replicas: { serverId: ServerId; intentIndex: LogIndex }[] = [];
    for (let index = 0; index < rest.length; index += 2) {
      const serverId = idHex(rest[index]) as ServerId;
      replicas.push({ serverId, intentIndex: rest[index + 1] as LogIndex });
    }
    return { lengthBytes, referenceCount, copiesWanted, replicas } as ChunkRecord;
  },
  sizeBytes: ({ replicas }) => 100 + replicas.length * 120,
  isCached: always,
});

export const SESSIONS: UnversionedTable<SessionRecord> = table({
  toFields: (value) => [
    value.clientName,
    value.openedMs,
    value.activeMs,
    value.highestSequence,
    value.floorSequence,
  ],
  fromFields: ([clientName, openedMs, activeMs, highestSequence, floorSequence]) =>
    ({ clientName, openedMs, activeMs, highestSequence, floorSequence }) as SessionRecord,
  sizeBytes: () => 200,
  isCached: always,
});

export const STAGED: UnversionedTable<StagedRecord> = table({
  toFields: ({ contentId, chunkCount, sizeBytes, createdMs, segments }) => {
    const fields = [contentId, chunkCount, sizeBytes, createdMs];
    // Absent below feature level 11, so that all members write the same bytes.
    if (segments === undefined) return fields;
    const { digests, fullBytes, lastBytes, copiesWanted } = segments;
    return [...fields, digests, fullBytes, lastBytes, copiesWanted];
  },
  fromFields: ([contentId, chunkCount, sizeBytes, createdMs, ...more]) => {
    const fields = { contentId, chunkCount, sizeBytes, createdMs } as StagedRecord;
    const [digests, fullBytes, lastBytes, copiesWanted] = more;
    if (digests === undefined) return fields;
    const numbers = { fullBytes, lastBytes, copiesWanted };
    return { ...fields, segments: { digests: ownBytes(digests), ...numbers } as UploadSegments };
  },
  sizeBytes: ({ segments }) => segments?.digests.length ?? 0,
});

export const STAGED_TOTALS: UnversionedTable<StagedTotalsRecord> = table({
  toFields: (value) => [value.uploadCount, value.chunkCount],
  fromFields: ([uploadCount, chunkCount]) => ({ uploadCount, chunkCount }) as StagedTotalsRecord,
});

export const OUTCOMES: UnversionedTable<Outcome> = table({
  toFields: (outcome) =>
    outcome.ok
      ? [true, outcome.index, outcome.results.map((result) => result.inode)]
      : refusedFields(outcome),
  fromFields: (fields) => {
    const [ok, index, inodes] = fields;
    if (ok !== true) return refusedOfFields(fields);
    const results = (inodes as readonly (InodeId | null)[]).map((inode) => ({ inode }));
    return { ok: true, index: index as LogIndex, results };
  },
  sizeBytes: (outcome) => (outcome.ok ? outcome.results.length * 16 : 1_000),
});

export const TOTALS: UnversionedTable<TotalsRecord> = table({
  toFields: (value) => [
    value.nextInode,
    value.nextContent,
    value.clockMs,
    value.timedMs,
    value.historyFloor,
    value.intentFloor,
    value.fileCount,
    value.directoryCount,
    value.chunkCount,
    value.logicalBytes,
    value.purgesPending,
    value.historyVersions,
    value.feedFloor,
    value.feedBytes,
    // Absent if 0, so that a member of a lower feature level writes the same bytes.
    ...(value.stagedBytes === 0 ? [] : [value.stagedBytes]),
  ],
  fromFields: (fields) => {
    const [nextInode, nextContent, clockMs, timedMs, historyFloor, intentFloor, ...counts] = fields;
    const [fileCount, directoryCount, chunkCount, logicalBytes, ...queues] = counts;
    const [purgesPending, historyVersions, feedFloor, feedBytes, stagedBytes = 0] = queues;
    const ids = { nextInode, nextContent, clockMs, timedMs, historyFloor, intentFloor };
    return {
      ...ids,
      fileCount,
      directoryCount,
      chunkCount,
      logicalBytes,
      purgesPending,
      historyVersions,
      feedFloor,
      feedBytes,
      stagedBytes,
    } as TotalsRecord;
  },
  isCached: always,
});

export const APPLIED: UnversionedTable<AppliedRecord> = table({
  toFields: ({ formatVersion, index, term, stateHash, checksum }) => {
    const fields = [formatVersion, index, term, stateHash];
    return checksum === null ? fields : [...fields, checksum];
  },
  fromFields: ([formatVersion, index, term, stateHash, checksum]) => {
    const bytesOf = (field: unknown) => (field === undefined ? null : ownBytes(field));
    const hashes = { stateHash: bytesOf(stateHash), checksum: bytesOf(checksum) };
    return { formatVersion, index, term, ...hashes } as AppliedRecord;
  },
});

export const FEATURE_LEVEL: UnversionedTable<number> = table({
  toFields: (level) => [level],
  fromFields: ([level]) => level as number,
  isCached: always,
});

/** The formats of the tables by their names. */
export const FORMATS: UnversionedTable<ReadonlyMap<string, number>> = table({
  toFields: (formats) => [...formats],
  fromFields: (fields) => new Map(fields as readonly [string, number][]),
});

export const MEMBERSHIP: UnversionedTable<Uint8Array> = table({
  toFields: (value) => [value],
  fromFields: ([value]) => ownBytes(value),
});

export const CLUSTER_FACTS: UnversionedTable<ClusterFacts> = table({
  toFields: (value) => [value],
  fromFields: ([value]) => {
    const facts = value as ClusterFacts;
    return { ...facts, chunkKey: ownBytes(facts.chunkKey) };
  },
  isCached: always,
});

export const ENROLMENT: UnversionedTable<EnrolmentRecord> = table({
  toFields: ({ isOpen, enrolmentKey, restoreId, keys, tokens }) => [
    isOpen,
    enrolmentKey,
    restoreId,
    keys.map(({ version, fromIndex, key }) => [version, fromIndex, key]),
    tokens.map(({ hash, expiresMs }) => [hash, expiresMs]),
  ],
  fromFields: ([isOpen, enrolmentKey, restoreId, keys, tokens]) => ({
    isOpen: isOpen as boolean,
    enrolmentKey: ownBytes(enrolmentKey),
    restoreId: ownBytes(restoreId),
    keys: (keys as readonly [number, LogIndex, Uint8Array][]).map(([version, fromIndex, key]) => ({
      ...{ version, fromIndex, key: ownBytes(key) },
    })),
    tokens: (tokens as readonly [Uint8Array, number][]).map(([hash, expiresMs]) => ({
      ...{ hash: ownBytes(hash), expiresMs },
    })),
  }),
  sizeBytes: ({ tokens }) => 1_000 + tokens.length * 100,
  isCached: always,
});

export const RESTORED: UnversionedTable<RestoredFrom> = table({
  toFields: ({ restoreId, backup, index, term }) => [restoreId, backup, index, term],
  fromFields: ([restoreId, backup, index, term]) => ({
    restoreId: restoreId as string,
    backup: ownBytes(backup),
    index: index as LogIndex,
    term: term as Term,
  }),
  isCached: always,
});

export const SERVERS = objects<ServerLocation>(never);
export const STORAGE_CLASSES = objects<StorageClass>(always);
/** The removed servers, with the index of the removal. */
export const REMOVED_SERVERS = indexes();
export const TOMBSTONES = indexes();
export const PURGES = indexes();
export const TIMES: UnversionedTable<number> = table({
  toFields: (timeMs) => [timeMs],
  fromFields: ([timeMs]) => timeMs as number,
});
export const CLOCK_STEPS: UnversionedTable<readonly ClockStep[]> = table({
  toFields: (steps) => steps.map(({ index, fromMs, toMs }) => [index, fromMs, toMs]),
  fromFields: (fields) =>
    (fields as readonly [LogIndex, number, number][]).map(([index, fromMs, toMs]) => ({
      index,
      fromMs,
      toMs,
    })),
  sizeBytes: (steps) => steps.length * 50,
  isCached: always,
});
export const REPLICAS = keysOnly();
export const UNDER_REPLICATED = keysOnly();
/**
 * The reclaim queue. A value is the number of times that an entry queued the subject. In a row of the kind
 * "removed" it is the time of the removal.
 */
export const RECLAIMS: UnversionedTable<number> = table({
  toFields: (count) => [count],
  fromFields: ([count]) => count as number,
});
export const TOMBSTONE_AGES = keysOnly();

const sessionIdOf = (key: Key): SessionId => readU64(key, 1) as SessionId;
const chunkIdAt = (key: Key, offset: number): ChunkId =>
  textToHex(key.slice(offset, offset + 32)) as ChunkId;

/** Functions that read the ids in keys. */
export const KEY_FIELDS = {
  session: sessionIdOf,
  removedServer: (key: Key): ServerId => textToHex(key.slice(1)) as ServerId,
  chunkOfUnderReplicated: (key: Key): ChunkId => chunkIdAt(key, 1),
  chunkOfServerRow: (key: Key): ChunkId => chunkIdAt(key, 17),
  chunkOfTombstoneAge: (key: Key): ChunkId => chunkIdAt(key, 9),
} as const;
