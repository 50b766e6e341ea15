import { formatCount, formatSize } from "../../shared/display/format.ts";
import type { CommandContext } from "./command.ts";
import { ProgressBar } from "./progress.ts";

/** Progress of a put or a get: a progress bar, and a summary at the end. */
export class TransferReport {
  readonly #context: CommandContext;
  readonly #verb: string;
  readonly #bar: ProgressBar;
  readonly #startMs = performance.now();
  #fileCount = 0;
  #skippedCount = 0;
  #doneBytes = 0;
  #totalBytes = 0;

  /** @param verb "put" or "got" */
  constructor(context: CommandContext, verb: string) {
    this.#context = context;
    this.#verb = verb;
    this.#bar = new ProgressBar(context, { title: verb, totalBytes: 0 });
  }

  /**
   * Begins the next file.
   *
   * @returns a function that the caller calls with the number of transferred bytes of the file
   */
  begin(sizeBytes: number): (fileBytes: number) => void {
    this.#totalBytes += sizeBytes;
    this.#bar.setTotal(this.#totalBytes);
    let lastBytes = 0;
    return (fileBytes) => {
      this.#doneBytes += fileBytes - lastBytes;
      lastBytes = fileBytes;
      this.#bar.update(this.#doneBytes);
    };
  }

  /** Counts a file that was transferred. */
  finishedFile(): void {
    this.#fileCount += 1;
  }

  /** Counts a file that was skipped. */
  skipped(): void {
    this.#skippedCount += 1;
  }

  /** Removes the bar and prints the summary. */
  end(): void {
    this.#bar.end();
    const seconds = (performance.now() - this.#startMs) / 1000;
    const rate = formatSize(Math.round(this.#doneBytes / Math.max(seconds, 0.001)), true);
    const skipped = this.#skippedCount === 0 ? "" : `, ${this.#skippedCount} skipped`;
    if (this.#context.output.options.json) return;
    this.#context.output.note(
      `${this.#verb} ${formatCount(this.#fileCount, "file")}, ${formatSize(this.#doneBytes, true)} in ${seconds.toFixed(1)} s (${rate}/s)${skipped}`,
    );
  }
}
