import progress from "cli-progress";
import prettyBytes from "pretty-bytes";
import type { CommandContext } from "./command.ts";
import type { Output, WaitingBar } from "./output.ts";

/**
 * A progress bar on stderr. It shows the transferred bytes, the rate, and the total if the total is
 * known. Prints nothing unless `Output.showsProgress` is true.
 */
export class ProgressBar implements WaitingBar {
  /** Null if nothing is drawn, and after the end: an update would draw the bar again. */
  #bar: progress.SingleBar | null;
  readonly #startMs = performance.now();
  readonly #hasTotal: boolean;
  readonly #output: Output;
  #doneBytes = 0;
  #rate = "";

  constructor(
    { env, output }: CommandContext,
    options: { readonly title: string; readonly totalBytes: number | null },
  ) {
    this.#hasTotal = options.totalBytes !== null;
    this.#output = output;
    if (!output.showsProgress) {
      this.#bar = null;
      return;
    }
    this.#bar = new progress.SingleBar({
      stream: env.stderr,
      hideCursor: true,
      clearOnComplete: true,
      noTTYOutput: output.options.progress === "always",
      format: (barOptions, params, payload: { title: string; rate: string; wait: string }) => {
        const done = prettyBytes(params.value, { binary: true });
        if (payload.wait !== "") return `${payload.title} ${done}; ${payload.wait}`;
        if (!this.#hasTotal) return `${payload.title} ${done} ${payload.rate}`;
        const total = prettyBytes(params.total, { binary: true });
        const bar = progress.Format.BarFormat(params.progress, barOptions);
        return `${payload.title} ${bar} ${done}/${total} ${payload.rate}`;
      },
    });
    this.#bar.start(options.totalBytes ?? 1, 0, {
      title: options.title,
      rate: "",
      wait: "",
    });
    output.setBar(this);
  }

  /** Sets a larger total. */
  setTotal(totalBytes: number): void {
    this.#bar?.setTotal(totalBytes);
  }

  /** Redraws the bar. @param doneBytes number of bytes transferred since the start */
  update(doneBytes: number): void {
    if (this.#bar === null) return;
    if (doneBytes > this.#doneBytes) this.#output.progressed();
    this.#doneBytes = doneBytes;
    const seconds = Math.max(0.001, (performance.now() - this.#startMs) / 1000);
    this.#rate = `${prettyBytes(doneBytes / seconds, { binary: true, maximumFractionDigits: 0 })}/s`;
    this.#bar.update(doneBytes, { rate: this.#rate, wait: "" });
  }

  /** Shows what the command waits for in place of the rate; the empty text for none. */
  showWait(wait: string): void {
    this.#bar?.update(this.#doneBytes, { wait });
  }

  /** Removes the bar. Call it after a failure, too. */
  end(): void {
    if (this.#bar === null) return;
    this.#output.setBar(null);
    this.#bar.stop();
    this.#bar = null;
  }
}
