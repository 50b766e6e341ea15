import { concatBytes } from "../../shared/base/bytes.ts";
import { isAshlarError } from "../../shared/base/errors.ts";
import type { InodeId, LogIndex } from "../../shared/base/ids.ts";
import { joinPath, type PathInput, parsePath } from "../../shared/base/path.ts";
import type { MasterSession } from "../masters/master-session.ts";
import type { WalkOptions } from "../options.ts";
import type { DirectoryEntry, ListPage, WalkEntry } from "../results.ts";
import { indexAsOf } from "./as-of.ts";
import { firstPage, type ListPlan, listAll } from "./listing.ts";

const CONCURRENCY = 4;
/** First pages that were fetched ahead and are not consumed, over all levels. */
const PAGES_AHEAD_MAX = 64;
const SLASH = Uint8Array.of(0x2f);
const EMPTY = new Uint8Array(0);

/** A directory on the way down. */
interface Level {
  readonly entries: AsyncGenerator<DirectoryEntry, void, void>;
  readonly path: Uint8Array;
  /** Entries that were looked at to fetch directories ahead and are still to be visited. */
  readonly lookahead: DirectoryEntry[];
  isAtEnd: boolean;
}

/**
 * Visits what is below a directory, depth first, sorted. Directories are listed by their inode, so
 * the cost of an entry does not grow with its depth, and nothing here is recursive.
 */
export async function* walk(
  masters: MasterSession,
  path: PathInput,
  options: WalkOptions,
): AsyncGenerator<WalkEntry, void, void> {
  const root = joinPath(parsePath(path));
  const top = { path: root };
  const index = await indexAsOf(masters, options);
  const attributes = await masters.stat(top, { ...options, index });
  if (attributes.kind !== "directory") return;
  const walker = new Walker(masters, options, index);
  try {
    walker.enter(attributes.inode, root.length === 1 ? EMPTY : root);
    for (;;) {
      const entry = await walker.next();
      if (entry === null) return;
      yield entry;
    }
  } finally {
    await walker.close();
  }
}

class Walker {
  readonly #masters: MasterSession;
  readonly #options: WalkOptions;
  readonly #call: ListPlan;
  readonly #concurrency: number;
  readonly #levels: Level[] = [];
  /** First pages on their way or waiting. */
  readonly #ahead = new Map<InodeId, Promise<ListPage>>();

  constructor(masters: MasterSession, options: WalkOptions, index: LogIndex | undefined) {
    const { signal, timeoutMs, readMode, concurrency = CONCURRENCY } = options;
    this.#masters = masters;
    this.#options = options;
    this.#concurrency = Math.max(1, concurrency);
    this.#call = {
      index,
      ...(readMode === undefined ? {} : { readMode }),
      ...(signal === undefined ? {} : { signal }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    };
  }

  enter(inode: InodeId, path: Uint8Array): void {
    const first = this.#ahead.get(inode) ?? firstPage(this.#masters, { inode }, this.#call);
    this.#ahead.delete(inode);
    first.catch(() => {}); // `listAll` awaits it.
    const entries = listAll(this.#masters, { inode }, this.#call, first);
    this.#levels.push({ entries, path, lookahead: [], isAtEnd: false });
  }

  async next(): Promise<WalkEntry | null> {
    for (;;) {
      const level = this.#levels.at(-1);
      if (level === undefined) return null;
      const entry = await this.#nextEntry(level);
      if (entry === null) {
        this.#levels.pop();
        continue;
      }
      const depth = this.#levels.length;
      const path = concatBytes([level.path, SLASH, entry.name]);
      const isOpen = depth < (this.#options.depthMax ?? Number.MAX_VALUE);
      if (entry.attributes.kind === "directory" && isOpen) this.enter(entry.attributes.inode, path);
      return { ...entry, path, depth };
    }
  }

  async close(): Promise<void> {
    for (const level of this.#levels) await level.entries.return();
    await Promise.allSettled(this.#ahead.values());
  }

  async #nextEntry(level: Level): Promise<DirectoryEntry | null> {
    while (level.lookahead.length < 2 * this.#concurrency && !level.isAtEnd) {
      const entry = await this.#readEntry(level);
      if (entry === null) break;
      level.lookahead.push(entry);
    }
    this.#fetchAhead(level);
    return level.lookahead.shift() ?? null;
  }

  async #readEntry(level: Level): Promise<DirectoryEntry | null> {
    try {
      const next = await level.entries.next();
      level.isAtEnd = next.done === true;
      return next.done === true ? null : next.value;
    } catch (error) {
      level.isAtEnd = true;
      // It was removed after its parent was listed: there is nothing below it any more.
      if (this.#levels.length > 1 && isAshlarError(error, "NOT_FOUND")) return null;
      throw error;
    }
  }

  /** Asks for the first pages of the directories that come next. */
  #fetchAhead(level: Level): void {
    if (this.#levels.length >= (this.#options.depthMax ?? Number.MAX_VALUE)) return;
    let count = 0;
    for (const { attributes } of level.lookahead) {
      if (attributes.kind !== "directory") continue;
      count += 1;
      if (count > this.#concurrency || this.#ahead.size >= PAGES_AHEAD_MAX) return;
      if (attributes.entryCount === 0 || this.#ahead.has(attributes.inode)) continue;
      const page = firstPage(this.#masters, { inode: attributes.inode }, this.#call);
      page.catch(() => {}); // Reported when the directory is entered.
      this.#ahead.set(attributes.inode, page);
    }
  }
}
