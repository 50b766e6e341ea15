import { createWriteStream, type WriteStream } from "node:fs";
import { finished } from "node:stream/promises";

/**
 * The events of a run: requests, acknowledgements, faults and findings, one JSON object per line,
 * on a disk without faults. It is also the clock of the run: each line has its own number.
 */
export class Journal {
  readonly path: string;
  readonly violations: string[] = [];
  readonly #stream: WriteStream;
  readonly #startMs = performance.now();
  #now = 0;
  #isClosed = false;

  constructor(path: string) {
    this.path = path;
    this.#stream = createWriteStream(path, { flags: "a" });
  }

  /** Returns the next number. Later events have higher numbers. */
  tick(): number {
    this.#now += 1;
    return this.#now;
  }

  /** Writes one line with the next number. */
  write(event: string, fields: Readonly<Record<string, unknown>>): void {
    if (this.#isClosed) return; // After an interruption, remaining events are dropped.
    const ms = Math.round(performance.now() - this.#startMs);
    this.#stream.write(`${JSON.stringify({ at: this.tick(), ms, event, ...fields })}\n`);
  }

  /** Records that a guarantee of the product did not hold. */
  violation(text: string): void {
    this.violations.push(text);
    this.write("VIOLATION", { text });
    process.stderr.write(`VIOLATION ${text}\n`);
  }

  /** Resolves when all lines are written. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#stream.end();
    await finished(this.#stream);
  }
}
