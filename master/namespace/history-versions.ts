import type { LogIndex } from "../../shared/base/ids.ts";
import {
  historyPrefix,
  type Key,
  keyOfHistory,
  prefixEnd,
  supersededIndexOf,
  u64,
} from "./keys.ts";
import type { RecordReader } from "./overlay.ts";
import { HISTORY, type VersionedRecord } from "./tree-tables.ts";

/** A record that has superseded versions, under the key that it had in its own table. */
export interface PastRow {
  readonly key: Key;
  /** The superseded version that existed at the index. Undefined if there was none. */
  readonly value: VersionedRecord | undefined;
}

/** Rows of one record that are read before the rest is skipped: a new range costs more than a row. */
const ROWS_BEFORE_SKIP = 4;

/**
 * Yields the records of a range of history keys as of `at`, in key order, each once. The work for a record
 * does not grow with the number of its versions.
 */
export function* historyVersionsAt(
  records: RecordReader,
  range: { readonly start: Key; readonly end: Key },
  at: LogIndex,
): Generator<PastRow, void, void> {
  const search = new VersionSearch(at);
  for (let start: Key | null = range.start; start !== null; ) {
    let next: Key | null = null;
    for (const { key, value } of records.scan(HISTORY, { start, end: range.end })) {
      yield* search.rowsUpTo(key, value);
      next = search.skipTarget();
      if (next !== null) break;
    }
    start = next;
  }
  yield* search.rest();
}

/** The search for the version at an index, in one record after the other. */
class VersionSearch {
  readonly #at: LogIndex;
  #record: Key | null = null;
  /** Whether the row of the record was yielded. */
  #isFound = true;
  /** Rows of the record since the start of the scan. */
  #rowCount = 0;

  constructor(at: LogIndex) {
    this.#at = at;
  }

  /** Yields what the next row of the history shows: of the record before it, and of its own record. */
  *rowsUpTo(historyKey: Key, version: VersionedRecord): Generator<PastRow, void, void> {
    const record = keyOfHistory(historyKey);
    if (record !== this.#record) {
      yield* this.rest();
      this.#record = record;
      this.#isFound = false;
      this.#rowCount = 0;
    }
    this.#rowCount += 1;
    if (this.#isFound || supersededIndexOf(historyKey) <= this.#at) return;
    this.#isFound = true;
    yield { key: record, value: version.version <= this.#at ? version : undefined };
  }

  /** Returns the key at which the scan should continue, or null to continue where it is. */
  skipTarget(): Key | null {
    if (this.#rowCount < ROWS_BEFORE_SKIP || this.#record === null) return null;
    this.#rowCount = 0;
    const versions = historyPrefix(this.#record);
    return this.#isFound ? prefixEnd(versions) : ((versions + u64(this.#at + 1)) as Key);
  }

  /** Yields the last record if all its superseded versions ended at or before the index. */
  *rest(): Generator<PastRow, void, void> {
    if (this.#isFound || this.#record === null) return;
    this.#isFound = true;
    yield { key: this.#record, value: undefined };
  }
}
