import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const PROGRAM = fileURLToPath(new URL("./bare-chain-member.js", import.meta.url));
/** About as much as a create. What is sent to a member is always a whole number of these. */
export const MESSAGE: Buffer = Buffer.alloc(300);

/**
 * The least that a durable change on three members can cost in Node on this machine now: one
 * process hands a message on to two others, all write a page and sync, and two of three are
 * enough. No namespace, no Raft, nothing checked. What a figure of the cluster is to be seen beside.
 */
export class BareChain implements AsyncDisposable {
  readonly #processes: readonly ChildProcess[];
  readonly #socket: Socket;

  private constructor(processes: readonly ChildProcess[], socket: Socket) {
    this.#processes = processes;
    this.#socket = socket;
  }

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

  /** One message to two of three, one at a time. */
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
