import type { CommandContext } from "./command.ts";
import { ProgressBar } from "./progress.ts";
import type { ReplaceRule } from "./replace-flags.ts";

/** The progress bar of several files whose number is not known before their transfer. */
export class TransferProgress {
  readonly #bar: ProgressBar | null;
  #doneBytes = 0;
  #totalBytes = 0;

  constructor(context: CommandContext, title: string, rule: ReplaceRule) {
    // A question needs the line of the bar.
    this.#bar = rule === "ask" ? null : new ProgressBar(context, { title, totalBytes: 0 });
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

  /** Removes the bar. Later updates draw nothing. */
  end(): void {
    this.#bar?.end();
  }
}
