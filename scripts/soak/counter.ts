import type { FileSystem } from "../../client/file-system.ts";
import { targetOf } from "../../client/names/target.ts";
import { isAshlarError } from "../../shared/base/errors.ts";
import type { LogIndex } from "../../shared/base/ids.ts";
import type { Journal } from "./journal.ts";

const PATH = "/soak/counter";
const ATTEMPTS_MAX = 20;

/**
 * One file that all writers count up. Each increment requires that the version of the file has not
 * changed since it was read (G3). The count is the mtime of the file. It reveals a transaction that
 * ran twice, a lost transaction and a stale read.
 */
export class Counter {
  readonly #journal: Journal;
  /** The writer whose increment to each count was acknowledged. */
  readonly #owners = new Map<number, number>();
  #highest = 0;
  #unknownCount = 0;

  constructor(journal: Journal) {
    this.#journal = journal;
  }

  /** Creates the file with count 0. */
  async open(fileSystem: FileSystem): Promise<void> {
    await fileSystem.writeFile(PATH, "counter", { mtimeMs: 0, replace: true });
  }

  /** Reads the count, which must be at least the highest acknowledged count. */
  async read(fileSystem: FileSystem): Promise<{ count: number; version: number }> {
    const least = this.#highest;
    const { mtimeMs: count, version } = await fileSystem.stat(PATH);
    if (count < least) this.#journal.violation(`${PATH}: read ${count}: acknowledged was ${least}`);
    return { count, version };
  }

  /** Adds 1 to the count, with several attempts if another writer was faster. */
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

  /** Checks that no count was lost or made twice. Called while no writer is counting. */
  async check(fileSystem: FileSystem): Promise<void> {
    const { count } = await this.read(fileSystem);
    const most = this.#owners.size + this.#unknownCount;
    if (count <= most && count >= this.#highest) return;
    const counts = `${this.#owners.size} counts are acknowledged, ${this.#unknownCount} are unknown`;
    this.#journal.violation(`${PATH}: the count is ${count}, but ${counts}`);
  }

  #counted(count: number, writer: number): void {
    const owner = this.#owners.get(count);
    if (owner !== undefined) {
      this.#journal.violation(`${PATH}: writers ${owner} and ${writer} both made count ${count}`);
    }
    this.#owners.set(count, writer);
    this.#highest = Math.max(this.#highest, count);
    this.#journal.write("acknowledged", { what: "count", count, writer });
  }

  /** Returns false if another writer was faster. */
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
