/**
 * A file that one writer replaces again and again, and what a read of it may show. Stamps increase
 * with each write.
 *
 * A write that was aborted may have been committed. So a read shows the newest acknowledged content at its
 * begin, or that of a write that began later.
 */
export class TrackedFile {
  readonly path: string;
  #newestStarted = 0;
  /** The newest stamp that a write or a read has shown. 0 if the file may not exist. */
  #newestShown = 0;

  constructor(path: string) {
    this.path = path;
  }

  /** Whether a write was acknowledged. */
  get exists(): boolean {
    return this.#newestShown > 0;
  }

  /** The oldest stamp that a read that begins now may show. */
  get oldestAllowed(): number {
    return this.#newestShown;
  }

  start(stamp: number): void {
    this.#newestStarted = stamp;
  }

  acknowledge(stamp: number): void {
    this.#newestShown = Math.max(this.#newestShown, stamp);
  }

  /** Notes that a read that began when `oldestAllowed` was `oldest` shows `stamp`. Returns what is wrong, or null. */
  note(stamp: number, oldest: number): string | null {
    if (stamp < oldest) return `shows stamp ${stamp}, older than ${oldest}, which was acknowledged`;
    if (stamp > this.#newestStarted)
      return `shows stamp ${stamp}, which was not written: the newest is ${this.#newestStarted}`;
    this.#newestShown = Math.max(this.#newestShown, stamp);
    return null;
  }
}

/** Returns what is wrong with the size of a whole file, or null. */
export function checkSize(expectedBytes: number, sizeBytes: number): string | null {
  return sizeBytes === expectedBytes ? null : `has ${sizeBytes} bytes: expected ${expectedBytes}`;
}
