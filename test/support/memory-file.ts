import type { Random } from "../../shared/ports/random.ts";

/** The unit that a disk writes atomically. */
const SECTOR_BYTES = 512;
const PAGE_BYTES = 64 * 1024;
const NO_BYTES = new Uint8Array(0);

type FileChange =
  | { readonly kind: "write"; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: "truncate"; readonly lengthBytes: number };

/** A growing array of bytes, in pages: an append to a large file does not copy the file. */
class Content {
  /** A page can be shorter than a full one, or missing: its other bytes are zeros. */
  readonly #pages: Uint8Array[] = [];
  length = 0;

  /** Returns a copy of all bytes. */
  bytes(): Uint8Array {
    const bytes = new Uint8Array(this.length);
    this.read(bytes, 0);
    return bytes;
  }

  /** @returns the number of bytes read into `target`, which can be longer than the content */
  read(target: Uint8Array, offset: number): number {
    const lengthBytes = Math.max(0, Math.min(target.length, this.length - offset));
    for (const { page, start, end, at } of pageRanges(offset, lengthBytes)) {
      const found = this.#pages[page]?.subarray(start, end) ?? NO_BYTES;
      target.set(found, at);
      target.fill(0, at + found.length, at + end - start);
    }
    return lengthBytes;
  }

  apply(change: FileChange): void {
    if (change.kind === "truncate") {
      this.#truncate(change.lengthBytes);
      return;
    }
    const { bytes, offset } = change;
    for (const { page, start, end, at } of pageRanges(offset, bytes.length)) {
      this.#pageOf(page, end).set(bytes.subarray(at, at + end - start), start);
    }
    if (bytes.length > 0) this.length = Math.max(this.length, offset + bytes.length);
  }

  /** Makes the bytes equal to those of `other`. */
  copyFrom(other: Content): void {
    this.#truncate(0);
    this.apply({ kind: "write", offset: 0, bytes: other.bytes() });
  }

  /** Returns a page with a capacity of at least `endBytes`. */
  #pageOf(index: number, endBytes: number): Uint8Array {
    const page = this.#pages[index] ?? NO_BYTES;
    if (page.length >= endBytes) return page;
    const grown = new Uint8Array(Math.min(PAGE_BYTES, Math.max(endBytes, page.length * 2)));
    grown.set(page);
    this.#pages[index] = grown;
    return grown;
  }

  #truncate(lengthBytes: number): void {
    // Bytes between the old and a later length must read as zeros.
    const last = Math.floor(lengthBytes / PAGE_BYTES);
    if (this.#pages.length > last + 1) this.#pages.length = last + 1;
    this.#pages[last]?.fill(0, lengthBytes % PAGE_BYTES);
    this.length = lengthBytes;
  }
}

/** Returns the part of each page that a range of bytes covers. `at` is its offset in the range. */
function pageRanges(offset: number, lengthBytes: number) {
  const ranges: { page: number; start: number; end: number; at: number }[] = [];
  for (let at = 0; at < lengthBytes; ) {
    const page = Math.floor((offset + at) / PAGE_BYTES);
    const start = (offset + at) % PAGE_BYTES;
    const end = Math.min(PAGE_BYTES, start + lengthBytes - at);
    ranges.push({ page, start, end, at });
    at += end - start;
  }
  return ranges;
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
    return this.#current.bytes();
  }

  read(target: Uint8Array, offset: number): number {
    return this.#current.read(target, offset);
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
    for (const content of [this.#current, this.#durable]) {
      const bytes = content.bytes();
      change(bytes);
      content.apply({ kind: "write", offset: 0, bytes });
    }
  }

  /** Returns a file with the durable bytes of this one. */
  durableCopy(): MemoryFile {
    this.#applySynced();
    const copy = new MemoryFile();
    copy.#durable.copyFrom(this.#durable);
    copy.#current.copyFrom(this.#durable);
    return copy;
  }

  /** Returns a copy of the content. */
  content(): Uint8Array {
    return new Uint8Array(this.#current.bytes());
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
