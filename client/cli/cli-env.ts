import type { EventEmitter } from "node:events";
import { resolve } from "node:path";
import type { Readable, Writable } from "node:stream";

/** The properties that a stream has if it is a terminal. */
interface Terminal {
  readonly isTTY?: boolean;
  /** Width in characters. */
  readonly columns?: number;
}

/** The ports of the process that runs the CLI. Commands use them instead of `process`. */
export interface CliEnv {
  readonly stdin: Readable & Terminal;
  /** Whether the process was started with a standard input. Node replaces a closed one. */
  readonly hasStdin: boolean;
  readonly stdout: Writable & Terminal;
  readonly stderr: Writable & Terminal;
  /** Environment variables. */
  readonly variables: Readonly<Record<string, string | undefined>>;
  /**
   * Relative local paths are below this directory. Empty: the working directory of the process,
   * which the system calls use by themselves.
   */
  readonly workingDirectory: string;
  /** Permission bits that new local files do not have, see umask(2). */
  readonly umask: number;
  /** Emits "SIGINT" and "SIGTERM". */
  readonly signals: Pick<EventEmitter, "on" | "off">;
  /** Ends the process at once. */
  exit(status: number): never;
}

/** Returns the path for system calls of a local path that the user gave. */
export function systemPathOf(env: CliEnv, path: string): string {
  if (env.workingDirectory === "" || path === "") return path;
  return resolve(env.workingDirectory, path);
}
