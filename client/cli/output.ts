import { styleText } from "node:util";
import type { AshlarError } from "../../shared/base/errors.ts";
import type { CliEnv } from "./cli-env.ts";
import { StatusLine } from "./status-line.ts";
import { type OnClosedOutput, StdoutWriter } from "./stdout-writer.ts";

/** Options of the output of a command. */
export interface OutputOptions {
  readonly json: boolean;
  readonly color: "auto" | "always" | "never";
  readonly progress: "auto" | "always" | "never";
  readonly quiet: boolean;
  /** 0, or 1 for -v, 2 for -vv. */
  readonly verbosity: number;
  /** Effect of a closed stdout on the command. */
  readonly onClosed: OnClosedOutput;
}

/** A progress bar that has a place for what the command waits for. */
export interface WaitingBar {
  /** Shows the text; the empty text for none. */
  showWait(text: string): void;
}

const NEWLINE = 0x0a;
const COLUMNS_DEFAULT = 80;

type Style = Parameters<typeof styleText>[0];

/**
 * The output of one command. Data goes to stdout, everything else to stderr. A closed stderr has no
 * effect on the command.
 */
export class Output {
  readonly options: OutputOptions;
  readonly #env: CliEnv;
  readonly #stdout: StdoutWriter;
  readonly #status: StatusLine;
  /** Whether the last byte that was written to a terminal on stdout ended a line. */
  #isAtLineStart = true;
  /** Monotonic time of the last output on a terminal, and of the last progress. */
  #lastMs = performance.now();
  #bar: WaitingBar | null = null;
  #isPaused = false;

  constructor(env: CliEnv, options: OutputOptions) {
    this.#env = env;
    this.options = options;
    this.#status = new StatusLine(env);
    this.#stdout = new StdoutWriter(env.stdout, options.onClosed);
  }

  /** Aborts when the command must stop because its output is lost. */
  get closed(): AbortSignal {
    return this.#stdout.stopped;
  }

  /** The error of lost output; null if there is none, or if the reader has closed stdout. */
  get failure(): AshlarError | null {
    return this.#stdout.failure;
  }

  /** Writes a line of data. Resolves when it is written, so a long listing needs bounded memory. */
  async line(text: string): Promise<void> {
    const bytes = Buffer.from(`${text}\n`);
    this.#begin(bytes);
    await this.#stdout.report(bytes);
  }

  /**
   * Writes raw data, the content of files: any command stops if it is lost. The caller may reuse
   * `bytes` after the promise resolves.
   */
  async bytes(bytes: Uint8Array): Promise<void> {
    this.#begin(bytes);
    await this.#stdout.data(bytes);
  }

  #begin(bytes: Uint8Array): void {
    this.#status.clear();
    if (bytes.length > 0 && this.#env.stdout.isTTY === true) {
      this.progressed();
      this.#isAtLineStart = bytes.at(-1) === NEWLINE;
    }
  }

  /** Writes a JSON object on one line. `schema` names its shape and version: "ashlar.ls/1". */
  async json(schema: string, value: Readonly<Record<string, unknown>>): Promise<void> {
    await this.line(JSON.stringify({ schema, ...value }));
  }

  /** Prints a line for people on stderr, unless --quiet is given. */
  note(text: string): void {
    if (!this.options.quiet) this.#writeError(text);
  }

  /** Prints a detail on stderr with -v, or with -vv for `level` 2. */
  detail(text: string, level = 1): void {
    if (this.options.verbosity >= level) this.#writeError(text);
  }

  /** Prints a warning on stderr. */
  warn(text: string): void {
    this.#writeError(`ashlar: ${text}`);
  }

  /** Time since the last output on a terminal or the last progress, in milliseconds. */
  get silentMs(): number {
    return performance.now() - this.#lastMs;
  }

  /** Records that people have seen progress. */
  progressed(): void {
    this.#lastMs = performance.now();
    this.#bar?.showWait("");
  }

  /**
   * Shows on a terminal what the command waits for: in the progress bar, else in a line that the next
   * output replaces. Does nothing with --quiet, with --json, during a question, and in the middle of
   * a printed line.
   */
  showWait(text: string): void {
    const { quiet, json } = this.options;
    if (quiet || json || this.#isPaused || this.#env.stderr.isTTY !== true) return;
    if (this.#bar !== null) this.#bar.showWait(text);
    else if (this.#isAtLineStart) this.#status.show(text);
  }

  /** Removes what `showWait` shows. */
  clearWait(): void {
    this.#status.clear();
  }

  /** Lets a progress bar show what the command waits for, until the next call. */
  setBar(bar: WaitingBar | null): void {
    this.#status.clear();
    this.#bar = bar;
  }

  /** Runs `task` without a line about waiting: the user types, or the output is complete for now. */
  async withoutWaits<Result>(task: () => Promise<Result>): Promise<Result> {
    this.#status.clear();
    this.#isPaused = true;
    try {
      return await task();
    } finally {
      this.#isPaused = false;
      this.progressed();
    }
  }

  /** Returns `text` in a style where colour is on. Colour never carries information alone. */
  paint(style: Style, text: string): string {
    // The settings decide, not the stdout of the process, which Node would check.
    return this.#hasColor() ? styleText(style, text, { validateStream: false }) : text;
  }

  /** Whether people read the output: sizes are then printed as "1.5 GiB". */
  get isTerminal(): boolean {
    return !this.options.json && this.#env.stdout.isTTY === true;
  }

  /** Width of a terminal in characters. Infinity elsewhere: a pipe takes lines of any length. */
  get columns(): number {
    const { isTTY, columns } = this.#env.stdout;
    return isTTY === true ? (columns ?? COLUMNS_DEFAULT) : Number.POSITIVE_INFINITY;
  }

  /** Whether progress bars are drawn on stderr. */
  get showsProgress(): boolean {
    const { progress, quiet } = this.options;
    if (progress === "auto") return !quiet && this.#env.stderr.isTTY === true;
    return progress === "always";
  }

  #writeError(text: string): void {
    this.#status.clear();
    this.progressed();
    this.#env.stderr.write(`${text}\n`);
  }

  #hasColor(): boolean {
    const { variables, stdout } = this.#env;
    if (this.options.color !== "auto") return this.options.color === "always";
    // https://no-color.org: colour is off if the variable is set and not empty.
    if ((variables["NO_COLOR"] ?? "") !== "") return false;
    if ((variables["FORCE_COLOR"] ?? "") !== "") return true;
    return stdout.isTTY === true && variables["TERM"] !== "dumb";
  }
}
