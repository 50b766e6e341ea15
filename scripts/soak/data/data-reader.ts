import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { isAshlarError } from "../../../shared/base/errors.ts";
import { type DataDeps, type DataWriter, HISTORY_RETENTION_MS, textOf } from "./data-writer.ts";
import { ContentCheck, sizeOf } from "./stamped-content.ts";
import { checkSize, type TrackedFile } from "./tracked-file.ts";
import type { Transfer } from "./transfer-watch.ts";

/** One of so many readers pauses after each MiB. */
const PAUSED_OF = 8;
const PAUSE_MS = 2_000;
const PAUSES_MAX = 5;
/** One of so many reads ends early. */
const LEFT_OF = 8;
const IDLE_MS = 100;

/** Reads files of the writers and checks every byte. */
export class DataReader {
  readonly #deps: DataDeps;
  readonly #number: number;
  readonly #files: readonly TrackedFile[];

  constructor(deps: DataDeps, number: number, writers: readonly DataWriter[]) {
    this.#deps = deps;
    this.#number = number;
    this.#files = writers.flatMap(({ files }) => files);
  }

  /** Reads one file. Errors and wrong bytes are violations. */
  async step(): Promise<void> {
    const existing = this.#files.filter(({ exists }) => exists);
    const file = existing[randomInt(Math.max(1, existing.length))];
    if (file === undefined) {
      await sleep(IDLE_MS);
      return;
    }
    const beginMs = performance.now();
    const transfer = this.#deps.transfers.begin(`reader ${this.#number} of ${file.path}`);
    try {
      const problem = await this.#read(file, transfer);
      if (problem !== null) this.#deps.journal.violation(`${transfer.name}: ${problem}`);
    } catch (error) {
      // Replaced content is readable for as long as the history keeps it.
      const isExpired = performance.now() - beginMs > HISTORY_RETENTION_MS;
      if (isExpired && isAshlarError(error, "NO_GOOD_REPLICA")) this.#deps.counts.expired += 1;
      else this.#deps.journal.violation(`${transfer.name} failed: ${textOf(error)}`);
    } finally {
      transfer.end();
    }
  }

  async #read(file: TrackedFile, transfer: Transfer): Promise<string | null> {
    const { fileSystem, counts } = this.#deps;
    const oldest = file.oldestAllowed;
    const check = new ContentCheck();
    const isLeft = randomInt(LEFT_OF) === 0;
    let pausesLeft = this.#number % PAUSED_OF === 0 ? PAUSES_MAX : 0;
    if (pausesLeft > 0) counts.paused += 1;
    for await (const piece of fileSystem.read(file.path)) {
      const problem = check.add(piece);
      if (problem !== null) return problem;
      transfer.progress(check.checkedBytes);
      if (isLeft && check.checkedBytes > 1024 * 1024) {
        counts.left += 1;
        return file.note(check.stamp ?? 0, oldest);
      }
      if (pausesLeft === 0) continue;
      pausesLeft -= 1;
      await transfer.pause(() => sleep(PAUSE_MS));
    }
    counts.read += 1;
    counts.readBytes += check.checkedBytes;
    const stamp = check.stamp ?? 0;
    return file.note(stamp, oldest) ?? checkSize(sizeOf(stamp), check.checkedBytes);
  }
}
