import { concatBytes } from "../../shared/base/bytes.ts";
import { isAshlarError } from "../../shared/base/errors.ts";
import type { InodeId, LogIndex } from "../../shared/base/ids.ts";
import { joinPath, type PathInput, parsePath, pathText } from "../../shared/base/path.ts";
import type { MasterSession } from "../masters/master-session.ts";
import type { WalkOptions } from "../options.ts";
import type { DirectoryEntry, ListPage, WalkEntry } from "../results.ts";
import { indexAsOf } from "./as-of.ts";
import { firstPage, type ListPlan, listAll } from "./listing.ts";
import { checkEnd } from "./path-ends.ts";
import { targetOf } from "./target.ts";

const CONCURRENCY = 4;
/** Maximum number of first pages fetched ahead and not consumed yet, over all levels. */
const PAGES_AHEAD_MAX = 64;
const SLASH = Uint8Array.of(0x2f);
const EMPTY = new Uint8Array(0);

/** A directory between the root of the walk and the current entry. */
interface Level {
  readonly entries: AsyncGenerator<DirectoryEntry, void, void>;
  readonly path: Uint8Array;
  /** Entries read ahead to find the next directories. They are not visited yet. */
  readonly lookahead: DirectoryEntry[];
  isAtEnd: boolean;
}

/**
 * Yields everything below a directory, depth first, sorted by name. Directories are listed by
 * inode, so the cost of an entry does not grow with its depth. The implementation is not recursive,
 * so the depth is not limited by the stack.
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
  checkEnd(targetOf(path), attributes);
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
  /** First pages fetched ahead, by directory. */
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

  /** Makes a directory the current one: its entries are visited next. */
  enter(inode: InodeId, path: Uint8Array): void {
    const first = this.#ahead.get(inode) ?? firstPage(this.#masters, { inode }, this.#call);
    this.#ahead.delete(inode);
    first.catch(() => {}); // `listAll` awaits it.
    const entries = listAll(this.#masters, { inode }, this.#call, first);
    this.#levels.push({ entries, path, lookahead: [], isAtEnd: false });
  }

  /** Returns the next entry, or null after the last. */
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
      return { ...entry, path: pathText(path), pathBytes: path, depth };
    }
  }

  /** Ends all listings. Resolves when no call is pending. */
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
      // The directory was removed after its parent was listed: it has no entries.
      if (this.#levels.length > 1 && isAshlarError(error, "NOT_FOUND")) return null;
      throw error;
    }
  }

  /** Fetches the first pages of the next directories. */
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
