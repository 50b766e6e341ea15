import { concatBytes, equalBytes, toHex } from "../../shared/base/bytes.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import type { Digest } from "../../shared/base/ids.ts";
import type { Hasher, HashStream } from "../../shared/ports/hasher.ts";
import {
  KEY_BYTES_MAX,
  type KeyValue,
  type OrderedReader,
} from "../../shared/ports/ordered-store.ts";
import { encodePairs, sizeOfPair } from "../../shared/protocol/pairs.ts";
import { StateHash } from "../../shared/protocol/state-hash.ts";
import type { StateSnapshot } from "../state-machine.ts";
import { type HeldRange, keyAfter } from "./held-ranges.ts";

/** The smallest and the largest possible key: a key has 1 to KEY_BYTES_MAX bytes. */
const FIRST_KEY = new Uint8Array(1);
export const LAST_KEY = new Uint8Array(KEY_BYTES_MAX).fill(0xff);

/**
 * Number of ranges without a `keep` after which the sender lets the receiver remove their rows. So one
 * message removes the rows of at most these ranges, and the stall timeout applies to a bounded amount of work.
 */
const RANGES_PASSED_MAX = 4;

/**
 * Size of the rows that one turn of the event loop reads, encodes and hashes. 512 KiB took up to 76 ms of CPU time
 * when the pages of the store were not mapped yet.
 */
const TURN_BYTES = 64 * 1024;

/** The head of one message of a transfer of a whole state. The body of a part has the rows. */
export type PartsHead =
  | { readonly kind: "part"; readonly entryCount: number }
  | { readonly kind: "end"; readonly entryCount: number; readonly digest: Digest };

/** The head of one message of a snapshot transfer: see `raft.snapshot`. */
export type SnapshotHead = PartsHead | { readonly kind: "keep" | "drop"; readonly range: number };

/** Settings of the transfers of a member. */
export interface PartsSettings {
  readonly hasher: Hasher;
  /** Approximate size of the body of one part. */
  readonly partBytes: number;
  /** Called when the rows do not match the state hash. This member must stop. */
  readonly onDamage: (error: AshlarError) => void;
}

/** Options of `sendParts`. */
export interface SendPartsOptions extends PartsSettings {
  /** Resolves in the next turn in which rows may be read: `Clock.yieldTurn`, or `CallContext.turn` of a client. */
  readonly turn: () => Promise<void>;
}

/** The part of a snapshot that the receiver has from an earlier transfer. */
export interface HeldSnapshot {
  readonly ranges: readonly HeldRange[];
  /** Sends the message to keep the range with this number in `ranges`. */
  readonly keep: (range: number) => Promise<void>;
  /** Sends the message to remove the rows up to the end of this range that are not kept. */
  readonly drop: (range: number) => Promise<void>;
}

/** Numbers of rows of a transfer. */
export interface RowCounts {
  readonly sentCount: number;
  /** Rows that are not sent, because the receiver has them. */
  readonly keptCount: number;
}

/** The number and the hashes of all rows of a snapshot, in key order. */
export class RowsHash {
  readonly #digest: HashStream;
  readonly #stateHash = new StateHash();
  #count = 0;

  constructor(hasher: Hasher) {
    this.#digest = hasher.stream();
  }

  get count(): number {
    return this.#count;
  }

  /** State hash of the rows. */
  get stateHash(): Uint8Array {
    return this.#stateHash.bytes();
  }

  /** @param body the encoding of `rows` */
  add(rows: readonly KeyValue[], body: Uint8Array): void {
    for (const { key, value } of rows) this.#stateHash.add(key, value);
    this.#digest.update(body);
    this.#count += rows.length;
  }

  /** Returns BLAKE3 over the encodings of all rows. Called once. */
  digest(): Digest {
    return this.#digest.digest();
  }
}

/**
 * Sends the rows of a snapshot in parts of about `partBytes`, then the end message with the number
 * of rows and the digest of all rows. The promise of `send` applies back-pressure.
 *
 * @param held ranges that the receiver has. Those that this state has, too, are kept and not sent
 * @throws {AshlarError} STATE_DIVERGED, before the end message is sent, if the rows do not match
 *   the state hash. Without the end message the receiver does not use the rows.
 */
export async function sendParts(
  { reader, stateHash, index }: Pick<StateSnapshot, "reader" | "stateHash" | "index">,
  options: SendPartsOptions,
  send: (head: PartsHead, body?: Uint8Array) => Promise<void>,
  held?: HeldSnapshot,
): Promise<RowCounts> {
  const sender = new PartsSender(reader, options, send);
  let start: Uint8Array = FIRST_KEY;
  /** Ranges since the last `keep` or `drop`. */
  let passedCount = 0;
  for (const [number, range] of held?.ranges.entries() ?? []) {
    const end = keyAfter(range.end);
    let isKept = false;
    if (range.digest === null) {
      await sender.sendRange(start, end);
    } else if (equalBytes(range.digest, await sender.hashRange(start, end))) {
      await sender.flush();
      await held?.keep(number);
      isKept = true;
    } else {
      await sender.sendHashedRange(start, end);
    }
    start = end;
    passedCount = isKept ? 0 : passedCount + 1;
    if (passedCount < RANGES_PASSED_MAX) continue;
    await sender.flush();
    await held?.drop(number);
    passedCount = 0;
  }
  await sender.sendRange(start, LAST_KEY);
  await sender.flush();
  const { rows, sentCount } = sender;
  if (stateHash !== null && !equalBytes(stateHash, rows.stateHash)) {
    const error = stateDamaged(index, { expected: stateHash, found: rows.stateHash });
    options.onDamage(error);
    throw error;
  }
  await send({ kind: "end", entryCount: rows.count, digest: rows.digest() });
  return { sentCount, keptCount: rows.count - sentCount };
}

/** Reads the rows of a state, hashes all of them, and sends those that the receiver does not have. */
class PartsSender {
  readonly #reader: OrderedReader;
  readonly #options: SendPartsOptions;
  readonly #send: (head: PartsHead, body?: Uint8Array) => Promise<void>;
  readonly rows: RowsHash;
  sentCount = 0;
  /** Rows to send in the next part. */
  #pending: KeyValue[] = [];
  #pendingBytes = 0;

  constructor(
    reader: OrderedReader,
    options: SendPartsOptions,
    send: (head: PartsHead, body?: Uint8Array) => Promise<void>,
  ) {
    this.#reader = reader;
    this.#options = options;
    this.#send = send;
    this.rows = new RowsHash(options.hasher);
  }

  /** Hashes and sends the rows with `start` <= key < `end`. */
  async sendRange(start: Uint8Array, end: Uint8Array): Promise<void> {
    await this.flush();
    const part = new Part();
    for await (const { rowCount, body } of this.#hashedSlices(start, end)) {
      if (part.bytes > 0 && part.bytes + body.length > this.#options.partBytes) {
        await this.#sendPart(part.rowCount, part.take());
      }
      part.add(rowCount, body);
    }
    if (part.bytes > 0) await this.#sendPart(part.rowCount, part.take());
  }

  /** Hashes the rows of a range. Returns the digest of the range. */
  async hashRange(start: Uint8Array, end: Uint8Array): Promise<Digest> {
    const digest = this.#options.hasher.stream();
    for await (const { body } of this.#hashedSlices(start, end)) digest.update(body);
    return digest.digest();
  }

  /** Reads, encodes and hashes the rows of a range, one slice in each turn of the event loop. */
  async *#hashedSlices(
    start: Uint8Array,
    end: Uint8Array,
  ): AsyncGenerator<{ readonly rowCount: number; readonly body: Uint8Array }, void, void> {
    const { turn, partBytes } = this.#options;
    const sliceBytes = Math.min(TURN_BYTES, partBytes);
    for (const slice of slicesOf(this.#reader, { start, end }, sliceBytes)) {
      const body = encodePairs(slice);
      this.rows.add(slice, body);
      yield { rowCount: slice.length, body };
      await turn();
    }
  }

  /**
   * Sends the rows of a range that `hashRange` has read. Reads them again, because a range may be
   * larger than a part. The last ones wait for the next range or for `flush`.
   */
  async sendHashedRange(start: Uint8Array, end: Uint8Array): Promise<void> {
    const { turn, partBytes } = this.#options;
    let turnBytes = 0;
    for (const pair of this.#reader.range({ start, end })) {
      const sizeBytes = sizeOfPair(pair);
      if (this.#pendingBytes + sizeBytes > partBytes) await this.flush();
      this.#pending.push(pair);
      this.#pendingBytes += sizeBytes;
      turnBytes += sizeBytes;
      if (turnBytes < TURN_BYTES) continue;
      turnBytes = 0;
      await turn();
    }
  }

  /** Sends the rows that wait. */
  async flush(): Promise<void> {
    const pending = this.#pending;
    this.#pending = [];
    this.#pendingBytes = 0;
    if (pending.length > 0) await this.#sendPart(pending.length, encodePairs(pending));
  }

  async #sendPart(entryCount: number, body: Uint8Array): Promise<void> {
    this.sentCount += entryCount;
    await this.#send({ kind: "part", entryCount }, body);
    await this.#options.turn();
  }
}

/** The encoded rows of the part that is sent next. */
class Part {
  rowCount = 0;
  bytes = 0;
  #bodies: Uint8Array[] = [];

  add(rowCount: number, body: Uint8Array): void {
    this.rowCount += rowCount;
    this.bytes += body.length;
    this.#bodies.push(body);
  }

  /** Returns the encoding of all rows, and empties the part. */
  take(): Uint8Array {
    const body = concatBytes(this.#bodies);
    this.#bodies = [];
    this.rowCount = 0;
    this.bytes = 0;
    return body;
  }
}

/** Returns the error of a state whose rows do not match its state hash. */
export function stateDamaged(
  index: number,
  { expected, found }: { readonly expected: Uint8Array; readonly found: Uint8Array },
): AshlarError {
  return new AshlarError(
    "STATE_DIVERGED",
    `Cannot use the state at index ${index}: expected rows with hash ${toHex(expected)}: current value is ${toHex(found)}`,
    { hint: "docs/operations.md, A master has diverged" },
  );
}

/** Reads the rows with `start` <= key < `end` in key order, in slices of about `sliceBytes`. */
export function* slicesOf(
  reader: OrderedReader,
  range: { readonly start: Uint8Array; readonly end: Uint8Array },
  sliceBytes: number,
): Generator<KeyValue[], void, void> {
  let pairs: KeyValue[] = [];
  let sizeBytes = 0;
  for (const pair of reader.range(range)) {
    const pairBytes = sizeOfPair(pair);
    if (pairs.length > 0 && sizeBytes + pairBytes > sliceBytes) {
      yield pairs;
      pairs = [];
      sizeBytes = 0;
    }
    pairs.push(pair);
    sizeBytes += pairBytes;
  }
  if (pairs.length > 0) yield pairs;
}
