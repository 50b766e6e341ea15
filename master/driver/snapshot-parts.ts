import { equalBytes, toHex } from "../../shared/base/bytes.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import type { Digest, LogIndex, Term } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Hasher, HashStream } from "../../shared/ports/hasher.ts";
import {
  KEY_BYTES_MAX,
  type KeyValue,
  type OrderedReader,
  type OrderedStore,
  type StoreChange,
} from "../../shared/ports/ordered-store.ts";
import { decodePairs, encodePairs, sizeOfPair } from "../../shared/protocol/pairs.ts";
import { StateHash } from "../../shared/protocol/state-hash.ts";
import type { Received } from "../../shared/wire/rpc.ts";
import type { StateSnapshot } from "../state-machine.ts";

/** The smallest and the largest possible key: a key has 1 to KEY_BYTES_MAX bytes. */
const FIRST_KEY = new Uint8Array(1);
const LAST_KEY = new Uint8Array(KEY_BYTES_MAX).fill(0xff);

/** The head of one message of a snapshot transfer. Its body has the rows. */
export type SnapshotHead =
  | { readonly kind: "part"; readonly entryCount: number }
  | { readonly kind: "end"; readonly entryCount: number; readonly digest: Digest };

/**
 * Time in milliseconds for which an interrupted transfer can be resumed. The sender keeps the
 * pinned state for that time, and the receiver keeps the received rows.
 */
export const RESUME_WITHIN_MS = 60_000;

/**
 * The received beginning of a snapshot: its first `entryCount` rows. The wire calls a row of the
 * store an entry; it is not an entry of the log.
 */
export interface PartialSnapshot {
  readonly index: LogIndex;
  readonly term: Term;
  readonly entryCount: number;
}

/** Options of `sendParts`. */
export interface SendPartsOptions {
  readonly clock: Clock;
  readonly hasher: Hasher;
  /** Approximate size of the body of one part. */
  readonly partBytes: number;
  /** Called when the rows do not match the state hash. This member must stop. */
  readonly onDamage: (error: AshlarError) => void;
}

/**
 * Sends the rows of a snapshot in parts of about `partBytes`, then the end message with the number
 * of rows and the digest of all parts. The promise of `send` applies back-pressure.
 *
 * @param skippedCount number of first rows that the receiver already has. These rows are hashed and
 *   not sent
 * @throws {AshlarError} STATE_DIVERGED, before the end message is sent, if the rows do not match
 *   the state hash. Without the end message the receiver does not use the rows.
 */
export async function sendParts(
  { reader, stateHash, index }: Pick<StateSnapshot, "reader" | "stateHash" | "index">,
  options: SendPartsOptions,
  send: (head: SnapshotHead, body?: Uint8Array) => Promise<void>,
  skippedCount = 0,
): Promise<void> {
  const digest = options.hasher.stream();
  const found = new StateHash();
  let totalCount = 0;
  for (const pairs of partsOf(reader, options.partBytes)) {
    for (const { key, value } of pairs) found.add(key, value);
    const body = encodePairs(pairs);
    digest.update(body);
    const missing = pairs.slice(Math.max(0, skippedCount - totalCount));
    totalCount += pairs.length;
    if (missing.length === 0) {
      await options.clock.yieldTurn();
      continue;
    }
    const isWhole = missing.length === pairs.length;
    const head = { kind: "part", entryCount: missing.length } as const;
    await send(head, isWhole ? body : encodePairs(missing));
  }
  if (stateHash !== null && !equalBytes(stateHash, found.bytes())) {
    const error = stateDamaged(index, { expected: stateHash, found: found.bytes() });
    options.onDamage(error);
    throw error;
  }
  await send({ kind: "end", entryCount: totalCount, digest: digest.digest() });
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

/** Reads all rows in key order and groups them into parts of about `partBytes`. */
function* partsOf(reader: OrderedReader, partBytes: number): Generator<KeyValue[], void, void> {
  let pairs: KeyValue[] = [];
  let sizeBytes = 0;
  for (const pair of reader.range({ start: FIRST_KEY, end: LAST_KEY })) {
    const pairBytes = sizeOfPair(pair);
    if (pairs.length > 0 && sizeBytes + pairBytes > partBytes) {
      yield pairs;
      pairs = [];
      sizeBytes = 0;
    }
    pairs.push(pair);
    sizeBytes += pairBytes;
  }
  if (pairs.length > 0) yield pairs;
}

/**
 * Writes the parts of a snapshot to an empty store and verifies their digest. The parts may come
 * over several streams, if a transfer is resumed.
 */
export class PartsReceiver {
  readonly #store: OrderedStore;
  readonly #digest: HashStream;
  readonly #stateHash = new StateHash();
  #count = 0;

  constructor(store: OrderedStore, hasher: Hasher) {
    this.#store = store;
    this.#digest = hasher.stream();
  }

  /** Number of received rows. */
  get entryCount(): number {
    return this.#count;
  }

  /** State hash of the received rows. */
  get stateHash(): Uint8Array {
    return this.#stateHash.bytes();
  }

  /**
   * Processes one message and releases it. Resolves with true after the end message: all rows are
   * verified and durable then.
   *
   * @throws {AshlarError} PROTOCOL_ERROR if the received rows are not the sent rows; the errors of
   *   OrderedStore.commit
   */
  async receive(
    head: SnapshotHead,
    message: Pick<Received<unknown>, "body" | "release">,
  ): Promise<boolean> {
    const changes = this.#decode(message);
    if (head.kind === "part") {
      if (changes.length !== head.entryCount)
        throw malformed("the count of rows in a part differs");
      this.#count += changes.length;
      for (const { key, value } of changes) if (value !== null) this.#stateHash.add(key, value);
      await this.#store.commit(changes);
      return false;
    }
    if (changes.length > 0) throw malformed("the end message contains rows");
    if (head.entryCount !== this.#count) throw malformed("the count of all rows differs");
    if (!equalBytes(this.#digest.digest(), head.digest)) throw malformed("the digest differs");
    return true;
  }

  #decode(message: Pick<Received<unknown>, "body" | "release">): StoreChange[] {
    try {
      this.#digest.update(message.body);
      // Copied: the slab is released before the store has written the rows.
      return decodePairs(message.body.slice());
    } finally {
      message.release();
    }
  }
}

function malformed(reason: string): AshlarError {
  return new AshlarError("PROTOCOL_ERROR", `Cannot receive a snapshot: ${reason}`);
}
