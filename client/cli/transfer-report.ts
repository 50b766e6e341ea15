import { formatCount, formatSize } from "../../shared/display/format.ts";
import type { CommandContext } from "./command.ts";
import type { ReplaceRule } from "./replace-flags.ts";
import { type Difference, TransferDifferences } from "./transfer-differences.ts";
import { TransferProgress } from "./transfer-progress.ts";

/** Progress of a put or a get: a progress bar, and a summary at the end. */
export class TransferReport {
  readonly #context: CommandContext;
  readonly #command: "put" | "get";
  readonly #verb: string;
  readonly #progress: TransferProgress;
  readonly #startMs = performance.now();
  readonly #differences = new TransferDifferences();
  #fileCount = 0;
  #skippedCount = 0;
  #failedCount = 0;
  /** Bytes of the files that were transferred, for the summary. */
  #fileBytes = 0;

  constructor(context: CommandContext, command: "put" | "get", rule: ReplaceRule) {
    this.#context = context;
    this.#command = command;
    this.#verb = command === "put" ? "put" : "got";
    this.#progress = new TransferProgress(context, this.#verb, rule);
  }

  /** As `TransferProgress.begin`. */
  begin(sizeBytes: number): (fileBytes: number) => void {
    return this.#progress.begin(sizeBytes);
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
    this.#differences.add(difference, path);
  }

  /**
   * Removes the bar and prints the summary. With --json, a summary is printed for a tree or a list of
   * files.
   *
   * @param options.isComplete whether all was done: only then is a summary of no file printed
   */
  async end(options: { readonly isList: boolean; readonly isComplete: boolean }): Promise<void> {
    this.#progress.end();
    if (this.#context.output.options.json) {
      if (options.isList) await this.#printJson();
      return;
    }
    this.#differences.print(this.#context.output);
    const isEmpty = this.#fileCount === 0 && this.#skippedCount === 0;
    if (!isEmpty || options.isComplete) this.#printSummary();
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
    await this.#context.output.json(`ashlar.${this.#command}-summary/1`, {
      file_count: this.#fileCount,
      size_bytes: this.#fileBytes,
      skipped_count: this.#skippedCount,
      failed_count: this.#failedCount,
      ...this.#differences.toJson(),
    });
  }
}
