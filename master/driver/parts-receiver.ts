import { compareBytes, equalBytes } from "../../shared/base/bytes.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { KeyValue, OrderedStore, StoreChange } from "../../shared/ports/ordered-store.ts";
import { decodePairs, encodePairs } from "../../shared/protocol/pairs.ts";
import type { Received } from "../../shared/wire/rpc.ts";
import { type HeldRange, HeldRanges, keyAfter } from "./held-ranges.ts";
import { LAST_KEY, RowsHash, type SnapshotHead, slicesOf } from "./snapshot-parts.ts";

/** Size of the rows of the store that are read in one turn of the event loop. */
const SLICE_BYTES = 512 * 1024;
/** Maximum number of removed rows in one commit, besides the rows of a part. */
const REMOVALS_MAX = 2_000;
/** Smallest range of a partial snapshot: see `HeldRanges`. */
const RANGE_BYTES_MIN = 64 * 1024;

/** Dependencies and settings of a PartsReceiver. */
export interface PartsReceiverOptions {
  readonly clock: Clock;
  readonly hasher: Hasher;
  /** The ranges that the store contains. Null: the store is empty, and no later transfer continues. */
  readonly ranges: readonly HeldRange[] | null;
  /** Smallest size of a range. Default: RANGE_BYTES_MIN. */
  readonly rangeBytesMin?: number;
}

/**
 * Writes the rows of a snapshot to a store. The store is empty, or has rows of an interrupted transfer,
 * possibly of another state.
 *
 * The messages arrive in key order, and each one moves the position: a part to its last row, a kept
 * or dropped range to its end, the end message to the end of the store. Earlier rows that a message passes and
 * does not keep are removed. So up to the position the rows are those of the sender.
 */
export class PartsReceiver {
  readonly #store: OrderedStore;
  readonly #options: PartsReceiverOptions;
  readonly #ranges: HeldRanges;
  readonly #rows: RowsHash;
  #keptCount = 0;

  constructor(store: OrderedStore, options: PartsReceiverOptions) {
    const { hasher, ranges, rangeBytesMin = RANGE_BYTES_MIN } = options;
    this.#store = store;
    this.#options = options;
    this.#ranges = new HeldRanges({
      hasher: ranges === null ? null : hasher,
      bytesMin: rangeBytesMin,
      earlier: ranges ?? [],
    });
    this.#rows = new RowsHash(hasher);
  }

  /** Number of rows up to the position. */
  get rowCount(): number {
    return this.#rows.count;
  }

  /** Number of rows that were kept from an earlier transfer. */
  get keptCount(): number {
    return this.#keptCount;
  }

  /** State hash of the rows up to the position. */
  get stateHash(): Uint8Array {
    return this.#rows.stateHash;
  }

  /** Whether the store has no rows. */
  get isEmpty(): boolean {
    return this.#ranges.isEmpty;
  }

  /** Returns the ranges in the store, from which a later transfer can continue. Called once. */
  close(): readonly HeldRange[] {
    return this.#ranges.close();
  }

  /**
   * Processes one message and releases it. Resolves with true after the end message: all rows are
   * verified and durable then.
   *
   * @throws {AshlarError} PROTOCOL_ERROR if the received rows are not the sent rows; STORE_CORRUPT if a
   *   kept range in the store has changed; the errors of OrderedStore.commit
   */
  async receive(
    head: SnapshotHead,
    message: Pick<Received<unknown>, "body" | "release">,
  ): Promise<boolean> {
    // Copied: the slab is released before the store has written the rows.
    const body = message.body.slice();
    message.release();
    switch (head.kind) {
      case "part":
        await this.#addPart(head.entryCount, body);
        return false;
      case "keep":
        await this.#keep(head.range);
        return false;
      case "drop":
        await this.#drop(head.range);
        return false;
      case "end":
        if (body.length > 0) throw malformed("the end message contains rows");
        await this.#replaceTo(LAST_KEY, []);
        this.#ranges.dropEarlier();
        if (head.entryCount !== this.#rows.count) throw malformed("the count of all rows differs");
        if (!equalBytes(this.#rows.digest(), head.digest)) throw malformed("the digest differs");
        return true;
    }
  }

  async #addPart(rowCount: number, body: Uint8Array): Promise<void> {
    const rows = decodePairs(body);
    if (rows.length !== rowCount) throw malformed("the count of rows in a part differs");
    const last = rows.at(-1);
    if (last === undefined) return;
    this.#checkOrder(rows);
    await this.#replaceTo(last.key, rows);
    this.#rows.add(rows, body);
    this.#ranges.addRows(rows, body);
  }

  #checkOrder(rows: readonly KeyValue[]): void {
    let previous = this.#ranges.position;
    for (const { key } of rows) {
      if (compareBytes(previous, key) >= 0) throw malformed("the rows are not in key order");
      previous = key;
    }
  }

  /** Reads a range again and keeps it if its rows still have the reported digest. */
  async #keep(number: number): Promise<void> {
    const { clock, hasher } = this.#options;
    const range = this.#ranges.rangeToKeep(number);
    await this.#replaceTo(range.after, []);
    const digest = hasher.stream();
    let sizeBytes = 0;
    const keys = { start: keyAfter(range.after), end: keyAfter(range.end) };
    for (const slice of slicesOf(this.#store, keys, SLICE_BYTES)) {
      const body = encodePairs(slice);
      digest.update(body);
      this.#rows.add(slice, body);
      this.#keptCount += slice.length;
      sizeBytes += body.length;
      await clock.yieldTurn();
    }
    if (!equalBytes(digest.digest(), range.digest)) {
      throw new AshlarError(
        "STORE_CORRUPT",
        `Cannot resume a snapshot: expected rows with the digest at which range ${number} was received`,
      );
    }
    this.#ranges.addKept(range, sizeBytes);
  }

  /** Removes the rows after the position, up to the end of a range. */
  async #drop(number: number): Promise<void> {
    const end = this.#ranges.endToDrop(number);
    if (end === null) return;
    await this.#replaceTo(end, []);
    this.#ranges.pass(end);
  }

  /** Replaces the rows after the position, up to `last`, by `rows`. */
  async #replaceTo(last: Uint8Array, rows: readonly StoreChange[]): Promise<void> {
    let removals: StoreChange[] = [];
    let readBytes = 0;
    if (this.#ranges.hasEarlierRows) {
      const keys = { start: keyAfter(this.#ranges.position), end: keyAfter(last) };
      for (const { key, value } of this.#store.range(keys)) {
        removals.push({ key, value: null });
        readBytes += key.length + value.length;
        if (removals.length < REMOVALS_MAX && readBytes < SLICE_BYTES) continue;
        await this.#store.commit(removals);
        removals = [];
        readBytes = 0;
      }
    }
    // In one commit: if a key is removed and put, the later change applies.
    const changes = [...removals, ...rows];
    if (changes.length > 0) await this.#store.commit(changes);
  }
}

function malformed(reason: string): AshlarError {
  return new AshlarError("PROTOCOL_ERROR", `Cannot receive a snapshot: ${reason}`);
}
