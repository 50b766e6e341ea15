import { compareRelative, isAtOrBelow, type SyncDirectory } from "./sync-tree.ts";

/** A directory of the source whose entries are being synced. */
export interface OpenDirectory {
  readonly source: SyncDirectory;
  /** The directory at the target before the sync; null if the sync makes it. */
  readonly target: SyncDirectory | null;
  /** Whether an entry of it is made, replaced or removed, which changes its time. */
  isTouched: boolean;
}

/**
 * The directories between the root and the current entry, and those that were left. Attributes of a
 * directory are set at the end: each entry that is made changes its time, and its mode can refuse one.
 */
export class SyncDirectories {
  readonly #open: OpenDirectory[] = [];
  readonly #closed: OpenDirectory[] = [];
  readonly #isKept: (directory: OpenDirectory) => boolean;

  /** @param isKept returns whether attributes must be set for a directory that was left */
  constructor(isKept: (directory: OpenDirectory) => boolean) {
    this.#isKept = isKept;
  }

  /** Leaves the directories that do not contain the next entry. */
  moveTo(relative: Buffer): void {
    for (let last = this.#open.at(-1); last !== undefined; last = this.#open.at(-1)) {
      if (isAtOrBelow(relative, last.source.relative)) return;
      this.#leave();
    }
  }

  /** Enters a directory. `moveTo` has left its predecessor. */
  enter(source: SyncDirectory, target: SyncDirectory | null): void {
    this.#open.push({ source, target, isTouched: false });
  }

  /** Records a change of an entry of the current directory. */
  touch(): void {
    const last = this.#open.at(-1);
    if (last !== undefined) last.isTouched = true;
  }

  /** Leaves all directories. @returns those that are kept, entries before their directory */
  finish(): OpenDirectory[] {
    while (this.#open.length > 0) this.#leave();
    return this.#closed.sort((left, right) =>
      compareRelative(right.source.relative, left.source.relative),
    );
  }

  #leave(): void {
    const directory = this.#open.pop();
    if (directory !== undefined && this.#isKept(directory)) this.#closed.push(directory);
  }
}
