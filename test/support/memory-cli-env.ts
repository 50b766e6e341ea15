import { EventEmitter } from "node:events";
import { Readable, Writable } from "node:stream";
import type { CliEnv } from "../../client/cli/cli-env.ts";
import { main } from "../../client/cli/main.ts";

/** Result of a CLI command. */
export interface CommandResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Result of a CLI command in this process. */
export interface MemoryCommandResult extends CommandResult {
  readonly stdoutBytes: Buffer;
}

/** Ports of a CLI command that have a value in a test. */
export interface MemoryCliOptions {
  readonly variables?: Readonly<Record<string, string>>;
  readonly workingDirectory?: string;
  /** Standard input. */
  readonly input?: string | Uint8Array | Readable;
  /** Default: true. */
  readonly hasStdin?: boolean;
  /** Default: 0o022. */
  readonly umask?: number;
  /** The width of a terminal that stdout and stderr are. Default: they are no terminals. */
  readonly columns?: number | undefined;
  /** The error of every write to stdout after this many bytes: EPIPE, as of a closed pipe. */
  readonly stdoutEnd?: { readonly afterBytes: number; readonly errno: string };
  /** Whether every write to stderr fails with EPIPE. */
  readonly isStderrClosed?: boolean;
}

/** The ports of a CLI command that runs in the process of a test: streams are in memory. */
export class MemoryCliEnv implements CliEnv {
  readonly stdin: Readable;
  readonly stdout: TextStream;
  readonly stderr: TextStream;
  readonly variables: Readonly<Record<string, string>>;
  readonly workingDirectory: string;
  readonly signals = new EventEmitter();
  readonly hasStdin: boolean;
  readonly umask: number;

  constructor(options: MemoryCliOptions = {}) {
    const { variables = {}, workingDirectory = "", input = "", columns } = options;
    const { stdoutEnd, isStderrClosed = false } = options;
    this.stdout = new TextStream(columns, stdoutEnd);
    this.stderr = new TextStream(
      columns,
      isStderrClosed ? { afterBytes: 0, errno: "EPIPE" } : undefined,
    );
    this.hasStdin = options.hasStdin ?? true;
    this.umask = options.umask ?? 0o022;
    // The settings of the user who runs the tests have no effect.
    this.variables = { ASHLAR_CONFIG: "/nonexistent/config.toml", ...variables };
    this.workingDirectory = workingDirectory;
    const isStream = input instanceof Readable;
    this.stdin = isStream ? input : Readable.from([Buffer.from(input)], { objectMode: false });
  }

  exit(status: number): never {
    throw new Error(`A command in the process of a test ends it with status ${status}`);
  }
}

/** Runs a CLI command in this process, with streams in memory. A process takes 0.5 CPU-seconds. */
export async function runCli(
  commandArguments: readonly string[],
  options: MemoryCliOptions = {},
): Promise<MemoryCommandResult> {
  const env = new MemoryCliEnv(options);
  const status = await main(commandArguments, env);
  const { stdout, stderr } = env;
  return { status, stdout: stdout.text(), stdoutBytes: stdout.bytes(), stderr: stderr.text() };
}

/** Returns the objects that a command printed with --json. */
export function jsonLines(stdout: string): Array<Record<string, unknown>> {
  const lines = stdout.split("\n").filter((line) => line !== "");
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** Keeps what is written to it, up to its end. */
class TextStream extends Writable {
  readonly #parts: Buffer[] = [];
  readonly isTTY: boolean;
  readonly columns: number;

  readonly #end: MemoryCliOptions["stdoutEnd"];
  #sizeBytes = 0;

  constructor(columns: number | undefined, end: MemoryCliOptions["stdoutEnd"]) {
    super();
    this.#end = end;
    this.isTTY = columns !== undefined;
    this.columns = columns ?? 80;
  }

  override _write(
    bytes: Buffer,
    _encoding: BufferEncoding,
    done: (error?: Error | null) => void,
  ): void {
    this.#sizeBytes += bytes.length;
    if (this.#end !== undefined && this.#sizeBytes > this.#end.afterBytes) {
      const { errno: code } = this.#end;
      done(Object.assign(new Error(`write ${code}`), { code, syscall: "write" }));
      return;
    }
    this.#parts.push(Buffer.from(bytes)); // The caller may reuse its bytes after `done`.
    done();
  }

  bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }

  text(): string {
    return this.bytes().toString("utf8");
  }
}
