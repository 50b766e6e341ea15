import { present } from "../../shared/base/assert.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex, Term } from "../../shared/base/ids.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { KeyValue, StoreChange } from "../../shared/ports/ordered-store.ts";
import type { BackupHead } from "../../shared/protocol/backup-api.ts";
import { StateHash } from "../../shared/protocol/state-hash.ts";
import { checkFormatVersion, durableChanges } from "./durable.ts";
import { checkFeatureLevel } from "./feature-levels.ts";
import { bytesToText, META_KEY, TABLE_BYTE, textToBytes } from "./keys.ts";
import { APPLIED, CLUSTER_FACTS, ENROLMENT, TOTALS } from "./tables.ts";

/**
 * A restored cluster starts a new epoch: its first index is the next multiple of this number, plus
 * the index of the backup. So every index that the cluster used before (for intents, purges and
 * sessions) is lower than every new index, although the backup does not know the last used index.
 * The range of safe integers has 8,191 epochs, each with three years of 10,000 entries per second.
 */
const INDEXES_PER_EPOCH = 2 ** 40;
/**
 * The same for terms: a log from before the restore has a lower term, so it cannot win an election.
 */
const TERMS_PER_EPOCH = 2 ** 32;
const CHUNK_KEY_CONTEXT = "ashlar 2026 chunk key of a restored cluster";
const RESTORE_ID_CONTEXT = "ashlar 2026 restore id of a restored cluster";

/**
 * Converts the rows of a backup to the rows of a restored cluster. Every restore of the same backup
 * results in the same rows, index and term.
 */
export class RestoredState {
  /** Index of the restored state. */
  readonly index: LogIndex;
  /** Term of the restored state. */
  readonly term: Term;
  readonly #hasher: Hasher;
  readonly #hash = new StateHash();
  #hasApplied = false;

  /** @throws {AshlarError} VERSION_MISMATCH if the backup needs a newer program */
  constructor(head: BackupHead, hasher: Hasher) {
    checkFeatureLevel(head.featureLevel);
    this.index = inNextEpoch(head.index, INDEXES_PER_EPOCH) as LogIndex;
    this.term = inNextEpoch(head.term, TERMS_PER_EPOCH) as Term;
    this.#hasher = hasher;
  }

  /** Converts a part of the backup's rows for the store. @throws {AshlarError} VERSION_MISMATCH */
  convertRows(rows: readonly KeyValue[]): StoreChange[] {
    const changes: StoreChange[] = [];
    for (const { key, value } of rows) {
      const text = bytesToText(key);
      if (text === META_KEY.applied) {
        checkFormatVersion(APPLIED.decode(value, META_KEY.applied).formatVersion);
        this.#hasApplied = true;
      }
      // `finish` writes both rows with their new values.
      if (text === META_KEY.applied || text === META_KEY.membership) continue;
      // The restore undoes all changes after the backup without events, so watchers must start
      // again.
      if (text[0] === TABLE_BYTE.feed) continue;
      const converted = this.#convertValue(text, value);
      this.#hash.add(key, converted);
      changes.push({ key, value: converted });
    }
    return changes;
  }

  /**
   * Returns the last rows. With them the store is a complete state.
   *
   * @throws {AshlarError} STORE_CORRUPT if the backup lacks the row of its index
   */
  finish(membership: Uint8Array): StoreChange[] {
    if (!this.#hasApplied) {
      throw new AshlarError(
        "STORE_CORRUPT",
        "Cannot restore the backup: expected a row with the index of the state",
      );
    }
    const { index, term } = this;
    return durableChanges({ index, term, membership, stateHash: this.#hash.bytes() });
  }

  #convertValue(key: string, value: Uint8Array): Uint8Array {
    if (key === META_KEY.clusterFacts) return this.#withNewKey(value);
    if (key === META_KEY.enrolment) return this.#withNewKeys(value);
    if (key !== META_KEY.totals) return value;
    const totals = TOTALS.decode(value, META_KEY.totals);
    const feedFloor = (this.index + 1) as LogIndex;
    return TOTALS.encode({ ...totals, feedFloor, feedBytes: 0 }, META_KEY.totals);
  }

  /**
   * Replaces the chunk key, which makes all earlier intents and receipts invalid. A server may have
   * deleted a chunk after it issued a receipt, because of a purge that the backup does not contain.
   */
  #withNewKey(value: Uint8Array): Uint8Array {
    const facts = CLUSTER_FACTS.decode(value, META_KEY.clusterFacts);
    const chunkKey = this.#derive(CHUNK_KEY_CONTEXT, facts.chunkKey);
    return CLUSTER_FACTS.encode({ ...facts, chunkKey }, META_KEY.clusterFacts);
  }

  /** Replaces all versions of the chunk key by a new one, for the same reason. Credentials stay valid. */
  #withNewKeys(value: Uint8Array): Uint8Array {
    const enrolment = ENROLMENT.decode(value, META_KEY.enrolment);
    const last = present(enrolment.keys.at(-1), "a chunk key has a version");
    const key = this.#derive(CHUNK_KEY_CONTEXT, last.key);
    const keys = [{ version: last.version + 1, fromIndex: 0 as LogIndex, key }];
    const restoreId = this.#derive(RESTORE_ID_CONTEXT, enrolment.restoreId);
    return ENROLMENT.encode({ ...enrolment, keys, restoreId }, META_KEY.enrolment);
  }

  #derive(context: string, secret: Uint8Array): Uint8Array {
    const material = [...secret, ...textToBytes(String(this.index))];
    return this.#hasher.deriveKey(context, Uint8Array.from(material));
  }
}

/** Returns whether the cluster was restored from a backup between the two indexes. */
export function isRestoredBetween(earlier: LogIndex, later: LogIndex): boolean {
  return Math.floor(earlier / INDEXES_PER_EPOCH) < Math.floor(later / INDEXES_PER_EPOCH);
}

const inNextEpoch = (position: number, length: number): number =>
  (Math.floor(position / length) + 1) * length + (position % length);
