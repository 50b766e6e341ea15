import { type ChildProcess, spawn } from "node:child_process";
import { open, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { NodePaths } from "../../client/cli/cluster/layout.ts";
import type { LocalNode } from "../../shared/platform/local-cluster-file.ts";
import { readProcessStat } from "../../shared/platform/procfs.ts";
import type { LoopDisk } from "./loop-disk.ts";
import { waitFor } from "./run-tool.ts";

const LAUNCHER = fileURLToPath(new URL("../../../scripts/ashlar", import.meta.url));
const STOP_TIMEOUT_MS = 20_000;
const READY_TIMEOUT_MS = 2_000;
const SIGNAL_TIMEOUT_MS = 5_000;

/** How a process ended: its exit code, or the signal that ended it. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Dependencies of a `SoakNode`. */
export interface SoakNodeOptions {
  readonly node: LocalNode;
  readonly paths: NodePaths;
  readonly disk: LoopDisk;
  /** Command prefix that runs a program in the network namespace of the node. */
  readonly prefix: readonly string[];
  /** Path of libfaketime. Null if the node uses the clock of the machine. */
  readonly faketime: string | null;
}

/** One master or chunkserver with its process, disk and clock. */
export class SoakNode {
  readonly name: string;
  readonly role: LocalNode["role"];
  readonly address: string;
  readonly http: string;
  readonly disk: LoopDisk;
  readonly dataDirectory: string;
  /** Passed to the process. A chunkserver that has not enrolled needs it. */
  joinToken: string | undefined;
  readonly #options: SoakNodeOptions;
  #child: ChildProcess | null = null;
  #ended: Ended | null = null;

  constructor(options: SoakNodeOptions) {
    this.#options = options;
    const { name, role, address, http } = options.node;
    this.name = name;
    this.role = role;
    this.address = address;
    this.http = http;
    this.disk = options.disk;
    this.dataDirectory = options.paths.data;
  }

  /** How the last process ended. Null while it runs. */
  get ended(): Ended | null {
    return this.#ended;
  }

  /** Process id. @throws {Error} if the process does not run */
  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined || this.#ended !== null) throw new Error(`${this.name} does not run`);
    return pid;
  }

  get isRunning(): boolean {
    return this.#child !== null && this.#ended === null;
  }

  /**
   * Starts the process. Does not wait until it serves.
   *
   * @param tracer command prefix that runs a program with the same pid (strace -D)
   */
  async start(tracer: readonly string[] = []): Promise<void> {
    if (this.isRunning) return;
    const { paths, prefix, node } = this.#options;
    const launch = [process.execPath, LAUNCHER, node.role, "--config", paths.config];
    const command = [...prefix, ...tracer, ...(await this.#clock()), ...launch];
    const log = await open(paths.log, "a");
    try {
      const child = spawn(command[0] ?? "", command.slice(1), {
        stdio: ["ignore", log.fd, log.fd],
        cwd: "/",
        ...(this.joinToken === undefined
          ? {}
          : { env: { ...process.env, ASHLAR_JOIN_TOKEN: this.joinToken } }),
      });
      this.#ended = null;
      this.#child = child;
      const end = (ended: Ended): void => {
        if (this.#child === child) this.#ended = ended;
      };
      child.on("exit", (code, signal) => end({ code, signal }));
      child.on("error", () => end({ code: -1, signal: null }));
    } finally {
      await log.close();
    }
  }

  /**
   * Returns `env` with libfaketime: the wall clock follows the file `clock`, the monotonic is real.
   */
  async #clock(): Promise<string[]> {
    const { faketime, paths } = this.#options;
    if (faketime === null) return [];
    await this.setClock(0);
    return [
      "env",
      `LD_PRELOAD=${faketime}`,
      `FAKETIME_TIMESTAMP_FILE=${paths.directory}/clock`,
      "FAKETIME_CACHE_DURATION=1",
      "DONT_FAKE_MONOTONIC=1",
      "FAKETIME_DONT_FAKE_MONOTONIC=1",
      "NO_FAKE_STAT=1",
    ];
  }

  /** Moves the wall clock of the node by `offsetSeconds`, within about a second. */
  async setClock(offsetSeconds: number): Promise<void> {
    const sign = offsetSeconds < 0 ? "-" : "+";
    const text = `${sign}${Math.abs(offsetSeconds)}\n`;
    await writeFile(`${this.#options.paths.directory}/clock`, text);
  }

  /** Sends a signal. Resolves when its effect is observed. */
  async signal(signal: "SIGSTOP" | "SIGCONT" | "SIGKILL" | "SIGTERM"): Promise<void> {
    const { pid } = this;
    process.kill(pid, signal);
    const worked =
      signal === "SIGSTOP"
        ? await waitFor(() => readProcessStat(pid)?.state === "T", SIGNAL_TIMEOUT_MS)
        : signal === "SIGCONT" || (await waitFor(() => !this.isRunning, STOP_TIMEOUT_MS));
    if (!worked) throw new Error(`${this.name}: ${signal} had no effect`);
  }

  /** Sends SIGKILL if the process runs. */
  async kill(): Promise<void> {
    if (this.isRunning) await this.signal("SIGKILL");
  }

  /** Removes all data, as if the node had never run. The process must not run. */
  async empty(): Promise<void> {
    for (const name of await readdir(this.dataDirectory)) {
      await rm(join(this.dataDirectory, name), { recursive: true });
    }
  }

  /** Resolves with how the process ended, or with null if it still runs after `timeoutMs`. */
  async waitUntilEnded(timeoutMs: number): Promise<Ended | null> {
    await waitFor(() => !this.isRunning, timeoutMs);
    return this.#ended;
  }

  /** Asks `/readyz`. Returns null if the node is ready, otherwise the reason. */
  async notReady(): Promise<string | null> {
    try {
      const signal = AbortSignal.timeout(READY_TIMEOUT_MS);
      const response = await fetch(`http://${this.http}/readyz`, { signal });
      const text = await response.text();
      return response.ok ? null : text.trim();
    } catch (error) {
      return `no answer: ${(error as Error).message}`;
    }
  }

  /** Returns the current length of the log, for `complaintsSince`. */
  async logSize(): Promise<number> {
    return (await readFile(this.#options.paths.log)).length;
  }

  /** Returns the messages of level warn and error that the node logged after `offset`. */
  async complaintsSince(offset: number): Promise<string[]> {
    const logged = (await this.#linesSince(offset)).map(parseLine);
    return logged.flatMap((line) => (line === null || !isComplaint(line) ? [] : textOf(line)));
  }

  /**
   * Returns the output without log lines: the error of a process that stops, and native libraries.
   */
  async outputSince(offset: number): Promise<string[]> {
    return (await this.#linesSince(offset)).filter((line) => parseLine(line) === null);
  }

  /** Returns whether the node logged `message` after `offset`. */
  async hasLogged(message: string, offset: number): Promise<boolean> {
    const lines = await this.#linesSince(offset);
    return lines.some((line) => parseLine(line)?.message === message);
  }

  async #linesSince(offset: number): Promise<string[]> {
    const text = (await readFile(this.#options.paths.log)).subarray(offset).toString();
    return text.split("\n").filter((line) => line.trim() !== "");
  }
}

/** The fields of a log line that are used here. */
interface LogLine {
  readonly level?: string;
  readonly message?: string;
  readonly error?: { readonly message?: string };
}

/** Parses a line. Null if it is not a log line. */
function parseLine(line: string): LogLine | null {
  try {
    const parsed: unknown = JSON.parse(line);
    return typeof parsed === "object" ? parsed : null;
  } catch {
    return null;
  }
}

function isComplaint({ level }: LogLine): boolean {
  return level === "warn" || level === "error";
}

function textOf({ message, error }: LogLine): string {
  return error?.message === undefined ? `${message}` : `${message}: ${error.message}`;
}
