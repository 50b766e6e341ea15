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

/** Before the first key and behind the last: a key is 1 to KEY_BYTES_MAX bytes. */
const FIRST_KEY = new Uint8Array(1);
const LAST_KEY = new Uint8Array(KEY_BYTES_MAX).fill(0xff);

export type SnapshotHead =
  | { readonly kind: "part"; readonly entryCount: number }
  | { readonly kind: "end"; readonly entryCount: number; readonly digest: Digest };

/**
 * So long both ends of a transfer that broke off keep what it needs to go on: the sender the pinned
 * state, the receiver the rows that came.
 */
export const RESUME_WITHIN_MS = 60_000;

/** The beginning of a snapshot: its first `entryCount` rows ("entries" of the store, not of the log). */
export interface PartialSnapshot {
  readonly index: LogIndex;
  readonly term: Term;
  readonly entryCount: number;
}

export interface SendPartsOptions {
  readonly clock: Clock;
  readonly hasher: Hasher;
  readonly partBytes: number;
  /** Told that the rows are not those that were written: this member must stop. */
  readonly onDamage: (error: AshlarError) => void;
}

/**
 * Sends the rows of `snapshot`: parts of about `partBytes`, then the end with the count and the
 * digest of everything. `send` is the back-pressure.
 *
 * @param skippedCount the first rows, which the receiver has: they are read for the digest only.
 * @throws {AshlarError} STATE_DIVERGED instead of the end if the rows do not have the state's hash:
 *   whoever has the parts has no state.
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

/** The rows of a state are not those that were written. */
export function stateDamaged(
  index: number,
  { expected, found }: { readonly expected: Uint8Array; readonly found: Uint8Array },
): AshlarError {
  return new AshlarError(
    "STATE_DIVERGED",
    `Cannot use the state at index ${index}: expected rows with hash ${toHex(expected)}: they have ${toHex(found)}`,
    { hint: "docs/operations.md, A master has diverged" },
  );
}

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
 * Puts the parts of a snapshot into an empty store and holds them against the digest. They may come
 * over several streams.
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

  get entryCount(): number {
    return this.#count;
  }

  /** Of the rows that have come. */
  get stateHash(): Uint8Array {
    return this.#stateHash.bytes();
  }

  /**
   * Takes one message and releases it. Resolves with true at the end, when everything is durable.
   *
   * @throws {AshlarError} PROTOCOL_ERROR if what came is not what was sent; as OrderedStore.commit
   */
  async receive(
    head: SnapshotHead,
    message: Pick<Received<unknown>, "body" | "release">,
  ): Promise<boolean> {
    const changes = this.#decode(message);
    if (head.kind === "part") {
      if (changes.length !== head.entryCount) throw malformed("a part has another count");
      this.#count += changes.length;
      for (const { key, value } of changes) if (value !== null) this.#stateHash.add(key, value);
      await this.#store.commit(changes);
      return false;
    }
    if (changes.length > 0) throw malformed("entries stand behind the end");
    if (head.entryCount !== this.#count) throw malformed("the count of entries differs");
    if (!equalBytes(this.#digest.digest(), head.digest)) throw malformed("the digest differs");
    return true;
  }

  #decode(message: Pick<Received<unknown>, "body" | "release">): StoreChange[] {
    try {
      this.#digest.update(message.body);
      // Copied: the slab goes back before the store is done with it.
      return decodePairs(message.body.slice());
    } finally {
      message.release();
    }
  }
}

function malformed(what: string): AshlarError {
  return new AshlarError("PROTOCOL_ERROR", `Cannot take a snapshot: ${what}`);
}
