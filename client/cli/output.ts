import { styleText } from "node:util";

/** Where a command writes. Data goes to stdout, everything else to stderr. */
export interface OutputOptions {
  readonly json: boolean;
  readonly color: "auto" | "always" | "never";
  readonly progress: "auto" | "always" | "never";
  readonly quiet: boolean;
  /** 0, or 1 for -v, 2 for -vv. */
  readonly verbosity: number;
}

type Style = Parameters<typeof styleText>[0];

/**
 * The streams of one command, and what it may do on them. A closed stdout (`| head`) ends the
 * command quietly: `signal` aborts.
 */
export class Output {
  readonly options: OutputOptions;
  readonly #closed = new AbortController();

  constructor(options: OutputOptions) {
    this.options = options;
    process.stdout.on("error", (error: NodeJS.ErrnoException) => {
      // Any other error comes through the promise of the write that met it.
      if (error.code === "EPIPE") this.#closed.abort(error);
    });
  }

  /** Aborts when nobody reads stdout any more. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** A line of data. Resolves when the stream has room: a listing of any length stays bounded. */
  async line(text: string): Promise<void> {
    await this.bytes(Buffer.from(`${text}\n`));
  }

  /** Raw data. `bytes` may be reused once the promise resolves. */
  bytes(bytes: Uint8Array): Promise<void> {
    if (this.#closed.signal.aborted) return Promise.reject(this.#closed.signal.reason as Error);
    return new Promise((resolve, reject) => {
      process.stdout.write(bytes, (error) => {
        if (error === undefined || error === null) resolve();
        else reject(error);
      });
    });
  }

  /** One JSON object a line. `schema` names its shape and version: "ashlar.ls/1". */
  async json(schema: string, value: Readonly<Record<string, unknown>>): Promise<void> {
    await this.line(JSON.stringify({ schema, ...value }));
  }

  /** For people: what was done. Not with --quiet. */
  note(text: string): void {
    if (!this.options.quiet) process.stderr.write(`${text}\n`);
  }

  /** For people who ask how: with -v, or -vv for `level` 2. */
  detail(text: string, level = 1): void {
    if (this.options.verbosity >= level) process.stderr.write(`${text}\n`);
  }

  warn(text: string): void {
    process.stderr.write(`ashlar: ${text}\n`);
  }

  /** Colour only where a person sees it; never the only sign. */
  paint(style: Style, text: string, stream: NodeJS.WriteStream = process.stdout): string {
    return this.#hasColor(stream) ? styleText(style, text) : text;
  }

  /** Whether a progress bar may be drawn on stderr. */
  get showsProgress(): boolean {
    const { progress, quiet } = this.options;
    if (progress === "auto") return !quiet && process.stderr.isTTY === true;
    return progress === "always";
  }

  #hasColor(stream: NodeJS.WriteStream): boolean {
    if (this.options.color !== "auto") return this.options.color === "always";
    // https://no-color.org: set and not empty.
    if ((process.env["NO_COLOR"] ?? "") !== "") return false;
    if ((process.env["FORCE_COLOR"] ?? "") !== "") return true;
    return stream.isTTY === true && process.env["TERM"] !== "dumb";
  }
}
