import type { CliEnv } from "./cli-env.ts";

/** CSI 0 K of ECMA-48: erases from the cursor to the end of the line. */
const ERASE_LINE = "\r\x1b[K";
const COLUMNS_DEFAULT = 80;

/**
 * One line on stderr that says what a command waits for. It exists on a terminal only, it is cleared
 * before other output, and it is as wide as the terminal at most, so that clearing removes it all.
 */
export class StatusLine {
  readonly #env: CliEnv;
  /** Empty if nothing is shown. */
  #shown = "";

  constructor(env: CliEnv) {
    this.#env = env;
  }

  /** Shows `text` in place of the last text. */
  show(text: string): void {
    const { stderr } = this.#env;
    if (stderr.isTTY !== true) return;
    const columns = stderr.columns ?? COLUMNS_DEFAULT;
    const shown = text.length < columns ? text : `${text.slice(0, Math.max(0, columns - 2))}…`;
    if (shown === this.#shown) return;
    this.#shown = shown;
    stderr.write(`${ERASE_LINE}${shown}`);
  }

  /** Removes the text if it is shown. */
  clear(): void {
    if (this.#shown === "") return;
    this.#shown = "";
    this.#env.stderr.write(ERASE_LINE);
  }
}
