import { type Database, openDatabase } from "../../shared/platform/lmdb-database.ts";
import { type Create, decodeCreate, MESSAGE_BYTES } from "./bare-chain-messages.ts";

/** Bytes of keys and values in one batch of writes. The masters write about as many creates in one. */
const BATCH_BYTES = 128 * 1024;
/** Lengths of the keys and values that the store of a master has for a create, on average. */
const NEW_ROWS = [
  { table: 1, keyBytes: 14, valueBytes: 8 },
  { table: 2, keyBytes: 9, valueBytes: 88 },
  { table: 3, keyBytes: 13, valueBytes: 40 },
] as const;
/** Rows that every create replaces. A batch writes the last value only. */
const REPLACED_ROWS = [
  { table: 4, keyBytes: 9, valueBytes: 26 },
  { table: 5, keyBytes: 2, valueBytes: 114 },
] as const;
/**
 * The least that a member of a namespace does with a create: it decodes the command and stores five rows.
 * Three are new (entry, inode, event of the feed), two replace those of the create before (directory, totals). No lookups,
 * no checks, no history and no hash of the state.
 */
export class BareChainStore {
  readonly #database: Database;
  #new: { readonly key: Buffer; readonly value: Buffer }[] = [];
  #sizeBytes = 0;
  #lastSequence = 0;
  #isWriting = false;
  /** The bytes of a message whose end was not received yet. */
  #rest: Buffer = Buffer.alloc(0);

  constructor(path: string) {
    this.#database = openDatabase(path);
  }

  /** Stores the rows of the messages in `bytes`. */
  add(bytes: Buffer): void {
    const all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    let start = 0;
    for (; start + MESSAGE_BYTES <= all.length; start += MESSAGE_BYTES) {
      this.#addCreate(decodeCreate(all, start));
    }
    this.#rest = all.subarray(start);
    if (this.#sizeBytes >= BATCH_BYTES && !this.#isWriting) {
      this.#write().catch((error: unknown) => {
        throw error;
      });
    }
  }

  #addCreate([, , sequence]: Create): void {
    this.#lastSequence = sequence;
    for (const { table, keyBytes, valueBytes } of NEW_ROWS) {
      this.#new.push({
        key: keyOf(table, keyBytes, sequence),
        value: Buffer.alloc(valueBytes, sequence),
      });
      this.#sizeBytes += keyBytes + valueBytes;
    }
  }

  async #write(): Promise<void> {
    this.#isWriting = true;
    const rows = this.#new;
    for (const { table, keyBytes, valueBytes } of REPLACED_ROWS) {
      const value = Buffer.alloc(valueBytes, this.#lastSequence);
      rows.push({ key: keyOf(table, keyBytes, 0), value });
    }
    this.#new = [];
    this.#sizeBytes = 0;
    await this.#database.batch(() => {
      // A failed put fails the batch.
      for (const { key, value } of rows) this.#database.put(key, value).catch(() => {});
    });
    this.#isWriting = false;
  }
}

function keyOf(table: number, sizeBytes: number, sequence: number): Buffer {
  const key = Buffer.alloc(sizeBytes, table);
  if (sizeBytes >= 5) key.writeUInt32BE(sequence, sizeBytes - 4);
  return key;
}
