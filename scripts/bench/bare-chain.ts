import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const PROGRAM = fileURLToPath(new URL("./bare-chain-member.js", import.meta.url));
/** A message of about the size of a create. Each member receives a whole number of messages. */
export const MESSAGE: Buffer = Buffer.alloc(300);

/**
 * The lowest cost of a durable change on three members in Node on this machine: one process
 * forwards a message to two others, all three write a page and sync it, and two of three are enough
 * for an answer. No namespace, no Raft, no checks. It is the baseline for the figures of the
 * cluster.
 */
export class BareChain implements AsyncDisposable {
  readonly #processes: readonly ChildProcess[];
  readonly #socket: Socket;

  private constructor(processes: readonly ChildProcess[], socket: Socket) {
    this.#processes = processes;
    this.#socket = socket;
  }

  /** Starts the three processes. `work` is the directory of their files. */
  static async start(work: string): Promise<BareChain> {
    await mkdir(work, { recursive: true });
    const processes: ChildProcess[] = [];
    const begin = async (name: string, ports: readonly number[]): Promise<number> => {
      const child = fork(PROGRAM, [join(work, name), ...ports.map(String)]);
      processes.push(child);
      const [port] = await once(child, "message");
      return port;
    };
    const followers = await Promise.all([begin("first", []), begin("second", [])]);
    const socket = connect(await begin("leader", followers), "127.0.0.1").setNoDelay(true);
    await once(socket, "connect");
    return new BareChain(processes, socket);
  }

  /** Sends one message and resolves when two of the three processes have written it. */
  async write(): Promise<void> {
    const answered = once(this.#socket, "data");
    this.#socket.write(MESSAGE);
    await answered;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy();
    for (const process of this.#processes) {
      const ended = once(process, "exit");
      process.disconnect();
      await ended;
    }
  }
}
