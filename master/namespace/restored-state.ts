import { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex, Term } from "../../shared/base/ids.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { KeyValue, StoreChange } from "../../shared/ports/ordered-store.ts";
import type { BackupHead } from "../../shared/protocol/backup-api.ts";
import { StateHash } from "../../shared/protocol/state-hash.ts";
import { checkFormatVersion, durableChanges } from "./durable.ts";
import { checkFeatureLevel } from "./feature-levels.ts";
import { bytesToText, META_KEY, TABLE_BYTE, textToBytes } from "./keys.ts";
import { APPLIED, CLUSTER_FACTS, TOTALS } from "./tables.ts";

/**
 * A restored cluster begins a new life: its first index is the next multiple of this, plus that of
 * the backup. So every index that was ever given out before (of intents, purges, sessions) is
 * older than all that come, although the backup does not know how far the cluster had come. Enough
 * for 8,191 lives and, in each, three years of 10,000 entries a second.
 */
const INDEXES_PER_EPOCH = 2 ** 40;
/** Likewise of terms: a log from before is behind every log from after, and never wins an election. */
const TERMS_PER_EPOCH = 2 ** 32;
const CHUNK_KEY_CONTEXT = "ashlar 2026 chunk key of a restored cluster";

/**
 * Turns the rows of a backup into those of a restored cluster. Whoever restores the same backup gets
 * the same rows, index and term.
 */
export class RestoredState {
  readonly index: LogIndex;
  readonly term: Term;
  readonly #hasher: Hasher;
  readonly #hash = new StateHash();
  #hasApplied = false;

  /** @throws {AshlarError} VERSION_MISMATCH if a newer program is needed. */
  constructor(head: BackupHead, hasher: Hasher) {
    checkFeatureLevel(head.featureLevel);
    this.index = inNextEpoch(head.index, INDEXES_PER_EPOCH) as LogIndex;
    this.term = inNextEpoch(head.term, TERMS_PER_EPOCH) as Term;
    this.#hasher = hasher;
  }

  /** What goes into the store for `rows`. @throws {AshlarError} VERSION_MISMATCH */
  convertRows(rows: readonly KeyValue[]): StoreChange[] {
    const changes: StoreChange[] = [];
    for (const { key, value } of rows) {
      const text = bytesToText(key);
      if (text === META_KEY.applied) {
        checkFormatVersion(APPLIED.decode(value, META_KEY.applied).formatVersion);
        this.#hasApplied = true;
      }
      // Both come at the end, as they are then.
      if (text === META_KEY.applied || text === META_KEY.membership) continue;
      // What came after the backup is undone, which no event tells: watchers begin anew.
      if (text[0] === TABLE_BYTE.feed) continue;
      const kept = this.#changed(text, value);
      this.#hash.add(key, kept);
      changes.push({ key, value: kept });
    }
    return changes;
  }

  /** The last rows: they make the store a state. @throws {AshlarError} STORE_CORRUPT */
  finish(membership: Uint8Array): StoreChange[] {
    if (!this.#hasApplied) {
      throw new AshlarError("STORE_CORRUPT", "Cannot restore the backup: it names no index");
    }
    const { index, term } = this;
    return durableChanges({ index, term, membership, stateHash: this.#hash.bytes() });
  }

  #changed(key: string, value: Uint8Array): Uint8Array {
    if (key === META_KEY.clusterFacts) return this.#withNewKey(value);
    if (key !== META_KEY.totals) return value;
    const totals = TOTALS.decode(value, META_KEY.totals);
    const feedFloor = (this.index + 1) as LogIndex;
    return TOTALS.encode({ ...totals, feedFloor, feedBytes: 0 }, META_KEY.totals);
  }

  /**
   * Intents and receipts from before are void: a server may have deleted, at an order that the
   * backup does not know, what it once gave a receipt for.
   */
  #withNewKey(value: Uint8Array): Uint8Array {
    const facts = CLUSTER_FACTS.decode(value, META_KEY.clusterFacts);
    const material = [...facts.chunkKey, ...textToBytes(String(this.index))];
    const chunkKey = this.#hasher.deriveKey(CHUNK_KEY_CONTEXT, Uint8Array.from(material));
    return CLUSTER_FACTS.encode({ ...facts, chunkKey }, META_KEY.clusterFacts);
  }
}

const inNextEpoch = (position: number, length: number): number =>
  (Math.floor(position / length) + 1) * length + (position % length);
