import type { Random } from "../../shared/ports/random.ts";

/** The unit that a disk writes atomically. */
const SECTOR_BYTES = 512;

type FileChange =
  | { readonly kind: "write"; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: "truncate"; readonly lengthBytes: number };

/** A growing array of bytes. */
class Content {
  #store: Uint8Array;
  length: number;

  constructor(bytes: Uint8Array = new Uint8Array(0)) {
    this.#store = bytes;
    this.length = bytes.length;
  }

  get bytes(): Uint8Array {
    return this.#store.subarray(0, this.length);
  }

  apply(change: FileChange): void {
    if (change.kind === "truncate") {
      this.#resize(change.lengthBytes);
      return;
    }
    if (change.bytes.length === 0) return;
    const end = change.offset + change.bytes.length;
    if (end > this.length) this.#resize(end);
    this.#store.set(change.bytes, change.offset);
  }

  /** Makes the bytes equal to those of `other`. */
  copyFrom(other: Content): void {
    if (other.length > this.length) this.#resize(other.length);
    this.#store.set(other.bytes);
    this.#resize(other.length);
  }

  #resize(lengthBytes: number): void {
    if (lengthBytes > this.#store.length) {
      const grown = new Uint8Array(Math.max(lengthBytes, this.#store.length * 2));
      grown.set(this.bytes);
      this.#store = grown;
    }
    // Bytes between the old and a later length must read as zeros.
    if (lengthBytes < this.length) this.#store.fill(0, lengthBytes, this.length);
    this.length = lengthBytes;
  }
}

/** Bytes of synced changes that a file may keep in addition to twice its length. */
const SYNCED_BYTES_MAX = 1024 * 1024;

/** A file with a page cache: the bytes that a running process reads, and the durable ones. */
export class MemoryFile {
  readonly #current = new Content();
  /** The durable bytes, except for the changes in `#synced`. */
  readonly #durable = new Content();
  /** Durable changes, in order. Few files crash, so they are applied to `#durable` later. */
  #synced: FileChange[] = [];
  #syncedBytes = 0;
  /** Changes since the last sync, in order. */
  #pending: FileChange[] = [];
  /** Changes that are no longer in `#pending`. */
  #syncedCount = 0;
  /**
   * Changes of a failed sync. No later sync makes them durable; a crash may keep them (fsyncgate).
   */
  #lost: FileChange[] = [];

  get lengthBytes(): number {
    return this.#current.length;
  }

  /** Number of all changes so far. A sync that starts now covers them. */
  get changeCount(): number {
    return this.#syncedCount + this.#pending.length;
  }

  bytes(): Uint8Array {
    return new Uint8Array(this.#current.bytes);
  }

  read(target: Uint8Array, offset: number): number {
    const found = this.#current.bytes.subarray(offset, offset + target.length);
    target.set(found);
    return found.length;
  }

  write(bytes: Uint8Array, offset: number): void {
    if (bytes.length === 0) return;
    this.#apply({ kind: "write", offset, bytes: new Uint8Array(bytes) });
  }

  truncate(lengthBytes: number): void {
    this.#apply({ kind: "truncate", lengthBytes });
  }

  /** Makes the first `changeCount` of all changes durable. */
  sync(changeCount = this.changeCount): void {
    const count = Math.max(0, changeCount - this.#syncedCount);
    for (const change of this.#pending.splice(0, count)) {
      this.#synced.push(change);
      this.#syncedBytes += change.kind === "write" ? change.bytes.length : 0;
    }
    this.#syncedCount += count;
    if (this.#syncedBytes > 2 * this.lengthBytes + SYNCED_BYTES_MAX) this.#applySynced();
  }

  /** Simulates a failed sync of all pending changes. */
  failSync(): void {
    this.#syncedCount += this.#pending.length;
    this.#lost.push(...this.#pending.splice(0));
  }

  /** Simulates a power failure: `random` decides which unsynced changes survive. */
  crash(random: Random): void {
    // Without unsynced changes the current bytes are the durable ones.
    if (this.#lost.length === 0 && this.#pending.length === 0) return;
    this.#applySynced();
    for (const change of [...this.#lost, ...this.#pending]) {
      if (random.fraction() < 0.5)
        for (const kept of sectorsKept(change, random)) this.#durable.apply(kept);
    }
    this.#lost = [];
    this.#syncedCount += this.#pending.length;
    this.#pending = [];
    this.#current.copyFrom(this.#durable);
  }

  corrupt(change: (bytes: Uint8Array) => void): void {
    this.#applySynced();
    change(this.#current.bytes);
    change(this.#durable.bytes);
  }

  #applySynced(): void {
    for (const change of this.#synced) this.#durable.apply(change);
    this.#synced = [];
    this.#syncedBytes = 0;
  }

  #apply(change: FileChange): void {
    this.#current.apply(change);
    this.#pending.push(change);
  }
}

/**
 * Returns the parts of a change that a crash keeps: the whole change, or any sectors of a write.
 */
function sectorsKept(change: FileChange, random: Random): readonly FileChange[] {
  if (change.kind === "truncate" || random.fraction() < 0.4) return [change];
  const end = change.offset + change.bytes.length;
  const firstSector = Math.floor(change.offset / SECTOR_BYTES);
  const endSector = Math.ceil(end / SECTOR_BYTES);
  // In half of the cases the write stopped at one sector. A disk may also write them in any order.
  const endKept = firstSector + Math.floor(random.fraction() * (endSector - firstSector + 1));
  const isInOrder = random.fraction() < 0.5;
  const kept: FileChange[] = [];
  for (let sector = firstSector; sector < endSector; sector += 1) {
    if (isInOrder ? sector >= endKept : random.fraction() < 0.5) continue;
    const from = Math.max(change.offset, sector * SECTOR_BYTES);
    const to = Math.min(end, (sector + 1) * SECTOR_BYTES);
    const bytes = change.bytes.subarray(from - change.offset, to - change.offset);
    kept.push({ kind: "write", offset: from, bytes });
  }
  return kept;
}
