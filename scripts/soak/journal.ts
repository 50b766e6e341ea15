import { createWriteStream, type WriteStream } from "node:fs";
import { finished } from "node:stream/promises";

/**
 * Everything that was asked, acknowledged, broken and found, one JSON object a line, on a disk that
 * no fault touches. Also the one clock of the run: every line has a number of its own.
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

  /** The next number: later events have larger ones. */
  tick(): number {
    this.#now += 1;
    return this.#now;
  }

  write(event: string, fields: Readonly<Record<string, unknown>>): void {
    if (this.#isClosed) return; // What goes on after an interruption is nobody's any more.
    const ms = Math.round(performance.now() - this.#startMs);
    this.#stream.write(`${JSON.stringify({ at: this.tick(), ms, event, ...fields })}\n`);
  }

  /** A promise of the product that did not hold. */
  violation(text: string): void {
    this.violations.push(text);
    this.write("VIOLATION", { text });
    process.stderr.write(`VIOLATION ${text}\n`);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#stream.end();
    await finished(this.#stream);
  }
}
