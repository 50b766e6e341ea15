import { formatCount, formatSize } from "../../shared/display/format.ts";
import type { CommandContext } from "./command.ts";
import { ProgressBar } from "./progress.ts";
import type { ReplaceRule } from "./replace-flags.ts";

/**
 * What of the transferred files differs from their sources, or was left out on purpose. The summary
 * has one line for each kind, and its JSON a key.
 */
const DIFFERENCES = {
  links: "Symbolic links, stored as the files that they name",
  hard_links: "Names of hard links, stored as separate files",
  owners: "Owners that were not kept, because this user may not give files away",
  temporary: "Temporary files of a get, left out",
  flattened: "Absolute names and names with .., stored in the target itself",
} as const;

/** A kind of difference. */
export type Difference = keyof typeof DIFFERENCES;

/** Progress of a put or a get: a progress bar, and a summary at the end. */
export class TransferReport {
  readonly #context: CommandContext;
  readonly #command: "put" | "get";
  readonly #verb: string;
  readonly #bar: ProgressBar | null;
  readonly #startMs = performance.now();
  readonly #differences = new Map<Difference, { count: number; readonly first: string }>();
  #fileCount = 0;
  #skippedCount = 0;
  #failedCount = 0;
  /** Bytes of all files, for the bar. */
  #doneBytes = 0;
  /** Bytes of the files that were transferred, for the summary. */
  #fileBytes = 0;
  #totalBytes = 0;

  constructor(context: CommandContext, command: "put" | "get", rule: ReplaceRule) {
    this.#context = context;
    this.#command = command;
    this.#verb = command === "put" ? "put" : "got";
    // A question needs the line of the bar.
    this.#bar =
      rule === "ask" ? null : new ProgressBar(context, { title: this.#verb, totalBytes: 0 });
  }

  /**
   * Begins the next file.
   *
   * @returns a function that the caller calls with the number of transferred bytes of the file
   */
  begin(sizeBytes: number): (fileBytes: number) => void {
    this.#totalBytes += sizeBytes;
    this.#bar?.setTotal(this.#totalBytes);
    let lastBytes = 0;
    return (fileBytes) => {
      this.#doneBytes += fileBytes - lastBytes;
      lastBytes = fileBytes;
      this.#bar?.update(this.#doneBytes);
    };
  }

  /** Counts a file that was transferred. */
  finishedFile(sizeBytes: number): void {
    this.#fileCount += 1;
    this.#fileBytes += sizeBytes;
  }

  /** Counts a file that was skipped. */
  skipped(): void {
    this.#skippedCount += 1;
  }

  /** Runs the task of an item and counts a failure. */
  async counted(task: () => Promise<void>): Promise<void> {
    try {
      await task();
    } catch (error) {
      this.#failedCount += 1;
      throw error;
    }
  }

  /** Counts a difference. @param path of the file, for the first of its kind */
  differs(difference: Difference, path: string): void {
    const found = this.#differences.get(difference);
    if (found === undefined) this.#differences.set(difference, { count: 1, first: path });
    else found.count += 1;
  }

  /**
   * Removes the bar and prints the summary. There is none if nothing was transferred. With --json, a
   * summary is printed for a tree or a list of files.
   */
  async end(options: { readonly isList: boolean }): Promise<void> {
    this.#bar?.end();
    if (this.#context.output.options.json) {
      if (options.isList) await this.#printJson();
      return;
    }
    for (const [difference, { count, first }] of this.#differences) {
      const others = count === 1 ? "" : ", …";
      this.#context.output.note(`${DIFFERENCES[difference]}: ${count} (${first}${others})`);
    }
    if (this.#fileCount === 0 && this.#skippedCount === 0 && this.#failedCount > 0) return;
    this.#printSummary();
  }

  #printSummary(): void {
    const seconds = (performance.now() - this.#startMs) / 1000;
    const rate = formatSize(Math.round(this.#fileBytes / Math.max(seconds, 0.001)), true);
    const skipped = this.#skippedCount === 0 ? "" : `, ${this.#skippedCount} skipped`;
    const failed = this.#failedCount === 0 ? "" : `, ${this.#failedCount} failed`;
    const size = formatSize(this.#fileBytes, true);
    this.#context.output.note(
      `${this.#verb} ${formatCount(this.#fileCount, "file")}, ${size} in ${seconds.toFixed(1)} s (${rate}/s)${skipped}${failed}`,
    );
  }

  async #printJson(): Promise<void> {
    const differences = [...this.#differences].map(([key, { count }]) => [`${key}_count`, count]);
    await this.#context.output.json(`ashlar.${this.#command}-summary/1`, {
      file_count: this.#fileCount,
      size_bytes: this.#fileBytes,
      skipped_count: this.#skippedCount,
      failed_count: this.#failedCount,
      ...Object.fromEntries(differences),
    });
  }
}
