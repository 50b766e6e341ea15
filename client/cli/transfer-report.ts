import { formatSize } from "../../shared/display/format.ts";
import type { CommandContext } from "./command.ts";
import { ProgressBar } from "./progress.ts";

/** What a put or a get has done so far, on a bar and in a closing line. */
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
    this.#bar = new ProgressBar(context.output, { title: verb, totalBytes: 0 });
  }

  /** A file begins. @returns takes the bytes done of it so far */
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

  finishedFile(): void {
    this.#fileCount += 1;
  }

  skipped(): void {
    this.#skippedCount += 1;
  }

  end(): void {
    this.#bar.end();
    const seconds = (performance.now() - this.#startMs) / 1000;
    const rate = formatSize(Math.round(this.#doneBytes / Math.max(seconds, 0.001)), true);
    const passed = this.#skippedCount === 0 ? "" : `, ${this.#skippedCount} passed over`;
    if (this.#context.output.options.json) return;
    this.#context.output.note(
      `${this.#verb} ${this.#fileCount} files, ${formatSize(this.#doneBytes, true)} in ${seconds.toFixed(1)} s (${rate}/s)${passed}`,
    );
  }
}
