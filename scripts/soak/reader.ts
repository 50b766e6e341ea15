import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { FileSystem } from "../../client/file-system.ts";
import type { DirectoryEntry } from "../../client/results.ts";
import { isAshlarError } from "../../shared/base/errors.ts";
import type { Counter } from "./counter.ts";
import { stampOfContent } from "./file-content.ts";
import type { Journal } from "./journal.ts";
import type { Register, Value } from "./register.ts";
import { stampOf, stampOfAttributes } from "./stamp.ts";
import type { TrafficCounts, Writer } from "./writer.ts";

const PACE_MS = 20;
/** Error codes that mean a failure of one node's disk. */
const DISK_ERRORS: readonly string[] = ["DISK_FAILED", "NO_SPACE"];

/** Reads the files of the writers over its own connection, and checks every answer. */
export class Reader {
  readonly #fileSystem: FileSystem;
  readonly #writers: readonly Writer[];
  readonly #journal: Journal;
  readonly #counts: TrafficCounts;
  readonly #counter: Counter;

  constructor(deps: {
    readonly fileSystem: FileSystem;
    readonly writers: readonly Writer[];
    readonly journal: Journal;
    readonly counts: TrafficCounts;
    readonly counter: Counter;
  }) {
    this.#fileSystem = deps.fileSystem;
    this.#writers = deps.writers;
    this.#journal = deps.journal;
    this.#counts = deps.counts;
    this.#counter = deps.counter;
  }

  /**
   * Makes one read and checks its answer. A failed read is only counted, because it proves nothing.
   * It is a violation if it failed with the disk error of one node: other nodes could answer.
   */
  async step(): Promise<void> {
    await sleep(randomInt(PACE_MS));
    const writer = this.#writers[randomInt(this.#writers.length)] as Writer;
    const slot = writer.slots[randomInt(writer.slots.length)] as Register;
    const choice = randomInt(10);
    try {
      if (choice === 0) await this.#counter.read(this.#fileSystem);
      else if (choice <= 2) await this.#list(writer);
      else if (choice <= 5) await this.#checkRead(slot, () => this.#stampInFile(slot.path));
      else await this.#checkRead(slot, () => stampOf(this.#fileSystem, slot.path));
      this.#counts.reads += 1;
    } catch (error) {
      this.#counts.failedReads += 1;
      const code = isAshlarError(error) ? error.code : "other";
      if (DISK_ERRORS.includes(code)) {
        this.#journal.violation(`${slot.path}: not read because of the disk of one node: ${error}`);
      }
      this.#counts.failedReadsByCode[code] = (this.#counts.failedReadsByCode[code] ?? 0) + 1;
      this.#journal.write("read failed", { path: slot.path, error: String(error) });
    }
  }

  async close(): Promise<void> {
    await this.#fileSystem[Symbol.asyncDispose]();
  }

  async #checkRead(register: Register, read: () => Promise<Value>): Promise<void> {
    const began = this.#journal.tick();
    const value = await read();
    const violation = register.observe(value, began, this.#journal.tick());
    if (violation !== null) this.#journal.violation(violation);
  }

  async #stampInFile(path: string): Promise<Value> {
    try {
      const bytes = await this.#fileSystem.readFile(path);
      // The file was created and not written yet: its stamp is only in its attributes.
      if (bytes.length === 0) return await stampOf(this.#fileSystem, path);
      const stamp = stampOfContent(bytes);
      if (typeof stamp === "number") return stamp;
      this.#journal.violation(`${path}: expected a stamp: found ${stamp}`);
      return -1;
    } catch (error) {
      if (isAshlarError(error, "NOT_FOUND")) return null;
      throw error;
    }
  }

  /** Checks a listing. It shows one index (G12): both files of a transaction or neither (G3). */
  async #list(writer: Writer): Promise<void> {
    const began = this.#journal.tick();
    const entries = new Map<string, DirectoryEntry>();
    for await (const entry of this.#fileSystem.list(writer.directory)) {
      entries.set(`${writer.directory}/${entry.displayName}`, entry);
    }
    const ended = this.#journal.tick();
    for (const register of writer.registers) {
      const entry = entries.get(register.path);
      const value = entry === undefined ? null : stampOfAttributes(entry.attributes);
      const violation = register.observe(value, began, ended);
      if (violation !== null) this.#journal.violation(`${violation} (listed)`);
    }
    const versions = writer.pair.map(({ path }) => entries.get(path)?.attributes.version);
    if (versions[0] === versions[1]) return;
    this.#journal.violation(`${writer.directory}: a partial transaction: versions ${versions}`);
  }
}
