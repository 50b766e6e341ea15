import type { FileSystem } from "../../client/file-system.ts";
import { targetOf } from "../../client/names/target.ts";
import { isAshlarError } from "../../shared/base/errors.ts";
import type { LogIndex } from "../../shared/base/ids.ts";
import type { Journal } from "./journal.ts";

const PATH = "/soak/counter";
const ATTEMPTS_MAX = 20;

/**
 * One file that all writers count up, each time on condition that nobody has changed it since it
 * was read (G3). Its count is its mtime: a transaction that ran twice, a lost one and a stale read
 * all show.
 */
export class Counter {
  readonly #journal: Journal;
  /** Which writer was told that it made which count. */
  readonly #owners = new Map<number, number>();
  #highest = 0;
  #unknownCount = 0;

  constructor(journal: Journal) {
    this.#journal = journal;
  }

  async open(fileSystem: FileSystem): Promise<void> {
    await fileSystem.writeFile(PATH, "counter", { mtimeMs: 0 });
  }

  /** A read must show at least every count that was acknowledged before it. */
  async read(fileSystem: FileSystem): Promise<{ count: number; version: number }> {
    const least = this.#highest;
    const { mtimeMs: count, version } = await fileSystem.stat(PATH);
    if (count < least) this.#journal.violation(`${PATH}: read ${count} after ${least} was told`);
    return { count, version };
  }

  async increment(fileSystem: FileSystem, writer: number): Promise<void> {
    let mayHaveCounted = false;
    try {
      for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
        const { count, version } = await this.read(fileSystem);
        mayHaveCounted = true;
        if (await this.#exchange(fileSystem, { count: count + 1, version })) {
          this.#counted(count + 1, writer);
          return;
        }
        mayHaveCounted = false;
      }
    } catch (error) {
      if (mayHaveCounted) this.#unknownCount += 1;
      this.#journal.write("unknown", { what: "count", mayHaveCounted, error: String(error) });
    }
  }

  /** To be called while nobody counts: no count was lost, and none was made twice. */
  async check(fileSystem: FileSystem): Promise<void> {
    const { count } = await this.read(fileSystem);
    const most = this.#owners.size + this.#unknownCount;
    if (count <= most && count >= this.#highest) return;
    const told = `${this.#owners.size} counts were told, ${this.#unknownCount} are unknown`;
    this.#journal.violation(`${PATH}: stands at ${count}, but ${told}`);
  }

  #counted(count: number, writer: number): void {
    const owner = this.#owners.get(count);
    if (owner !== undefined) {
      this.#journal.violation(`${PATH}: ${count} was told to writers ${owner} and ${writer}`);
    }
    this.#owners.set(count, writer);
    this.#highest = Math.max(this.#highest, count);
    this.#journal.write("acknowledged", { what: "count", count, writer });
  }

  /** @returns false if somebody else was faster */
  async #exchange(
    fileSystem: FileSystem,
    { count, version }: { readonly count: number; readonly version: number },
  ): Promise<boolean> {
    const target = targetOf(PATH);
    try {
      await fileSystem.transact(
        [{ kind: "set-attributes", target, mtimeMs: count }],
        [{ kind: "version", target, version: version as LogIndex }],
      );
      return true;
    } catch (error) {
      if (isAshlarError(error, "PRECONDITION_FAILED")) return false;
      throw error;
    }
  }
}
