import { isAtOrBelow, type SyncEntry } from "./sync-tree.ts";

/** An entry of the target that is removed after all entries of the source were read. */
export interface Removal extends Pick<SyncEntry, "kind" | "relative"> {
  /** Whether a directory is removed only if it is empty. */
  readonly isIfEmpty: boolean;
  /** Entries below a directory that is removed with everything in it. */
  readonly entryCount: number;
}

/** A removal, while the walk can still find entries below it. */
interface OpenRemoval extends Removal {
  entryCount: number;
  /** Whether an entry below it is kept. */
  isKept: boolean;
}

/**
 * The entries of the target that are not at the source, in the order of the walk.
 *
 * A directory is one removal with everything in it, so the list is short and the cluster removes the
 * tree atomically. With a filter some of its files can stay, so each entry is a removal of its own.
 */
export class Removals {
  readonly #isFiltered: boolean;
  readonly #list: OpenRemoval[] = [];
  /** Directories of the list that contain the current entry. */
  readonly #open: OpenRemoval[] = [];

  /** @param isFiltered whether --include or --exclude is given */
  constructor(isFiltered: boolean) {
    this.#isFiltered = isFiltered;
  }

  /** Adds an entry. The walk yields a directory before its entries. */
  add({ kind, relative }: Pick<SyncEntry, "kind" | "relative">): void {
    this.#moveTo(relative);
    const [top] = this.#open;
    if (!this.#isFiltered && top !== undefined) {
      top.entryCount += 1;
      return;
    }
    const isIfEmpty = kind === "directory" && this.#isFiltered;
    const removal = { kind, relative, isIfEmpty, entryCount: 0, isKept: false };
    this.#list.push(removal);
    if (kind === "directory") this.#open.push(removal);
  }

  /** Keeps the directories that contain an entry which the filter leaves out. */
  keep(relative: Buffer): void {
    this.#moveTo(relative);
    for (const directory of this.#open) directory.isKept = true;
  }

  /** Number of entries, with those in directories. */
  get entryCount(): number {
    return this.inOrder().reduce((count, removal) => count + 1 + removal.entryCount, 0);
  }

  /** Returns the removals, the entries of a directory before it. */
  inOrder(): Removal[] {
    return this.#list.filter(({ isKept }) => !isKept).reverse();
  }

  #moveTo(relative: Buffer): void {
    for (let last = this.#open.at(-1); last !== undefined; last = this.#open.at(-1)) {
      if (isAtOrBelow(relative, last.relative)) return;
      this.#open.pop();
    }
  }
}
