import { present } from "../../shared/base/assert.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex, SessionId, Term } from "../../shared/base/ids.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { KeyValue, StoreChange } from "../../shared/ports/ordered-store.ts";
import type { BackupHead } from "../../shared/protocol/backup-api.ts";
import { StateHash } from "../../shared/protocol/state-hash.ts";
import type { RestoredFrom } from "../state-machine.ts";
import { checkFormatVersion, durableChanges } from "./durable.ts";
import { checkFeatureLevel } from "./feature-levels.ts";
import { bytesToText, type Key, META_KEY, readU64, TABLE_BYTE, textToBytes, u64 } from "./keys.ts";
import { kindOf, RECLAIM_KIND, reclaimKey } from "./reclaim-queue.ts";
import type { TotalsRecord } from "./records.ts";
import { positionAfter } from "./restore-id.ts";
import { APPLIED, CLUSTER_FACTS, ENROLMENT, RECLAIMS, RESTORED, TOTALS } from "./tables.ts";

/** A state that version 0.1.0 restored began at a multiple of this, plus the index of its backup. */
const INDEXES_PER_EPOCH = 2 ** 40;
const CHUNK_KEY_CONTEXT = "ashlar 2026 chunk key of a restored cluster";
const RESTORE_ID_CONTEXT = "ashlar 2026 restore id of a restored cluster";
const BACKUP_BYTES = 16;

/** Rows that `finish` writes with new values. The row of an earlier restore is replaced. */
const REPLACED: ReadonlySet<string> = new Set([
  META_KEY.applied,
  META_KEY.membership,
  META_KEY.restored,
  META_KEY.totals,
]);
/**
 * Tables that a restored cluster begins without. Feed: the restore undoes all changes after the backup without
 * events, so watchers must start again. Sessions and their outcomes: a client may have used its session after
 * the backup, so an outcome that the backup lacks would be that of another mutation.
 */
const OMITTED: ReadonlySet<string> = new Set([
  TABLE_BYTE.feed,
  TABLE_BYTE.outcome,
  TABLE_BYTE.session,
]);

/**
 * Converts the rows of a backup to the rows of a restored cluster. The result depends on the backup and the
 * restore id only, so all members of the cluster get the same rows, index and term. Two restores have different
 * ids, and so different indexes, terms, keys and ids of their own (docs/decisions/0010).
 */
export class RestoredState {
  /** Index of the restored state. */
  readonly index: LogIndex;
  /** Term of the restored state. */
  readonly term: Term;
  readonly #restored: RestoredFrom;
  readonly #hasher: Hasher;
  readonly #hash = new StateHash();
  /** The sessions of the backup with unfinished uploads, which are not queued for `reclaim` yet. */
  readonly #uploaders = new Set<SessionId>();
  #totals: TotalsRecord | null = null;
  #hasApplied = false;

  /** @throws {AshlarError} VERSION_MISMATCH if the backup needs a newer program; TOO_LARGE */
  constructor(head: BackupHead, hasher: Hasher, restoreId: string) {
    checkFeatureLevel(head.featureLevel);
    const { index, term } = positionAfter(head, restoreId);
    const position = textToBytes(u64(head.index) + u64(head.term));
    const backup = hasher.hash(Uint8Array.from([...position, ...head.stateHash]));
    this.index = index;
    this.term = term;
    this.#restored = { restoreId, backup: backup.slice(0, BACKUP_BYTES), index, term };
    this.#hasher = hasher;
  }

  /** Converts a part of the backup's rows for the store. @throws {AshlarError} VERSION_MISMATCH */
  convertRows(rows: readonly KeyValue[]): StoreChange[] {
    const changes: StoreChange[] = [];
    for (const { key, value } of rows) {
      const text = bytesToText(key) as Key;
      if (text === META_KEY.applied) {
        checkFormatVersion(APPLIED.decode(value, META_KEY.applied).formatVersion);
        this.#hasApplied = true;
      }
      if (text === META_KEY.totals) this.#totals = TOTALS.decode(value, META_KEY.totals);
      if (REPLACED.has(text) || OMITTED.has(text[0] ?? "")) continue;
      this.#noteUploader(text);
      changes.push(this.#put(text, this.#convertValue(text, value)));
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
    const rows = [
      ...[...this.#uploaders].map((id) =>
        this.#put(uploadsKey(id), RECLAIMS.encode(1, uploadsKey(id))),
      ),
      ...(this.#totals === null ? [] : [this.#newTotals(this.#totals)]),
      this.#put(META_KEY.restored, RESTORED.encode(this.#restored, META_KEY.restored)),
    ];
    return [...rows, ...durableChanges({ index, term, membership, stateHash: this.#hash.bytes() })];
  }

  #put(key: Key, value: Uint8Array): StoreChange {
    const row = { key: textToBytes(key), value };
    this.#hash.add(row.key, value);
    return row;
  }

  /** Notes a session with unfinished uploads: its sums are read before its row in the reclaim queue. */
  #noteUploader(key: Key): void {
    if (key[0] === TABLE_BYTE.stagedTotals) this.#uploaders.add(readU64(key, 1) as SessionId);
    if (key[0] !== TABLE_BYTE.reclaim || kindOf(key) !== RECLAIM_KIND.staged) return;
    const id = readU64(key, key.length - u64(0).length) as SessionId;
    if (key === uploadsKey(id)) this.#uploaders.delete(id);
  }

  #newTotals(totals: TotalsRecord): StoreChange {
    const feedFloor = (this.index + 1) as LogIndex;
    const historyVersions = totals.historyVersions + this.#uploaders.size;
    const value = { ...totals, feedFloor, feedBytes: 0, historyVersions };
    return this.#put(META_KEY.totals, TOTALS.encode(value, META_KEY.totals));
  }

  #convertValue(key: Key, value: Uint8Array): Uint8Array {
    if (key === META_KEY.clusterFacts) return this.#withNewKey(value);
    if (key === META_KEY.enrolment) return this.#withNewKeys(value);
    return value;
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
    const material = [...secret, ...textToBytes(this.#restored.restoreId)];
    return this.#hasher.deriveKey(context, Uint8Array.from(material));
  }
}

/**
 * Returns whether the masters were restored from a backup after `index`.
 *
 * @param state a state of the cluster
 */
export function isBeforeRestore(
  index: LogIndex,
  state: { readonly restored: RestoredFrom | undefined; readonly appliedIndex: LogIndex },
): boolean {
  if (state.restored !== undefined) return index <= state.restored.index;
  return epochOf(index) < epochOf(state.appliedIndex);
}

const epochOf = (index: LogIndex): number => Math.floor(index / INDEXES_PER_EPOCH);

/** Returns the key of the row that queues the unfinished uploads of a closed session. */
const uploadsKey = (id: SessionId): Key => reclaimKey(0 as LogIndex, RECLAIM_KIND.staged, u64(id));
