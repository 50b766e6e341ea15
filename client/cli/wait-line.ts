import type { Output } from "./output.ts";

const TICK_MS = 250;
/** A terminal shows what a command does after this time without output: within 2 s. */
const SILENCE_MS = 1_700;

/** Something that a command waits for. Disposing it ends the wait. */
export interface Wait extends Disposable {
  /** Sets why the wait takes longer, as the command knows it now. */
  because(reason: string): void;
}

/** Dependencies of a `WaitLine`. */
export interface WaitLineDeps {
  readonly output: Pick<Output, "showWait" | "clearWait" | "silentMs">;
  /** Activity of the command if no wait is known: "find: working". */
  readonly idle: string;
}

/**
 * Says on a terminal what a silent command does. No command is silent there for more than 2 s: a wait
 * that it has named is shown, else what a source reports, such as the calls to the masters, else that
 * it works. The line disappears with the next output. Progress bars show the same text.
 */
export class WaitLine implements Disposable {
  readonly #deps: WaitLineDeps;
  readonly #waits = new Set<{ readonly what: string; reason: string }>();
  readonly #sources: Array<() => string | null> = [];
  readonly #timer: NodeJS.Timeout;

  constructor(deps: WaitLineDeps) {
    this.#deps = deps;
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#timer.unref();
  }

  /** Begins a wait. @param what "the chunkservers": the line is "waiting for the chunkservers" */
  begin(what: string): Wait {
    const wait = { what, reason: "" };
    this.#waits.add(wait);
    return {
      because: (reason) => {
        wait.reason = reason;
      },
      [Symbol.dispose]: () => {
        this.#waits.delete(wait);
      },
    };
  }

  /** Runs `task`, which waits for `what`. */
  async during<Result>(what: string, task: (wait: Wait) => Promise<Result>): Promise<Result> {
    using wait = this.begin(what);
    return await task(wait);
  }

  /** Adds a source of texts. The first one that returns no null is shown. */
  addSource(source: () => string | null): void {
    this.#sources.push(source);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#deps.output.clearWait();
  }

  #tick(): void {
    const { output } = this.#deps;
    const { silentMs } = output;
    if (silentMs < SILENCE_MS) return;
    const seconds = Math.round(silentMs / 1_000);
    output.showWait(`ashlar ${this.#text(seconds)}`);
  }

  #text(seconds: number): string {
    const named = [...this.#waits].at(-1);
    if (named !== undefined) {
      const { what, reason } = named;
      return `is waiting for ${what} for ${seconds} s${reason === "" ? "" : `: ${reason}`}`;
    }
    for (const source of this.#sources) {
      const text = source();
      if (text !== null) return `is waiting for ${text}`;
    }
    return `${this.#deps.idle} for ${seconds} s`;
  }
}
