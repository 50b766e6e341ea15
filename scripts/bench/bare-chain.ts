import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ANSWER_BYTES, encodeCreate, MESSAGE_BYTES } from "./bare-chain-messages.ts";

const PROGRAM = fileURLToPath(new URL("./bare-chain-member.js", import.meta.url));
/** Options of a chain. */
export interface BareChainOptions {
  /** Directory of the files. */
  readonly work: string;
  /** Whether the processes write and sync each message. If not, they only answer. */
  readonly isDurable: boolean;
  /** Whether the processes also decode each message and store the rows of a create: see `BareChainStore`. */
  readonly hasStore?: boolean;
}

/**
 * The lowest cost of a call on three members in Node on this machine: one process forwards the
 * messages of a read to two others, all three write and sync them, and two of three are enough for an
 * answer. No namespace, no Raft, no checks. It writes the bytes that a create writes to the log, with
 * as many syncs. Without the writes it is the baseline of linearizable reads, whose leader asks the two
 * others whether it still leads.
 */
export class BareChain implements AsyncDisposable {
  readonly #processes: readonly ChildProcess[];
  readonly #socket: Socket;
  readonly #hasStore: boolean;
  /** Resolves the calls that wait for an answer, the oldest one first. */
  readonly #waiting: (() => void)[] = [];
  #answerBytes = 0;
  #sequence = 0;

  private constructor(processes: readonly ChildProcess[], socket: Socket, hasStore: boolean) {
    this.#hasStore = hasStore;
    this.#processes = processes;
    this.#socket = socket;
    socket.on("data", (bytes) => this.#onAnswers(bytes.length));
  }

  /** Starts the three processes. */
  static async start({ work, isDurable, hasStore = false }: BareChainOptions): Promise<BareChain> {
    await mkdir(work, { recursive: true });
    const processes: ChildProcess[] = [];
    const begin = async (name: string, ports: readonly number[]): Promise<number> => {
      const file = isDurable ? join(work, name) : "-";
      const store = hasStore ? join(work, `${name}-store`) : "-";
      const child = fork(PROGRAM, [file, store, ...ports.map(String)]);
      processes.push(child);
      const [port] = await once(child, "message");
      return port;
    };
    const followers = await Promise.all([begin("first", []), begin("second", [])]);
    const socket = connect(await begin("leader", followers), "127.0.0.1").setNoDelay(true);
    await once(socket, "connect");
    return new BareChain(processes, socket, hasStore);
  }

  /** Sends one message and resolves when two of the three processes have it. */
  call(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#sequence += 1;
      const message = this.#hasStore ? encodeCreate(this.#sequence) : Buffer.alloc(MESSAGE_BYTES);
      this.#socket.write(message);
    });
  }

  #onAnswers(sizeBytes: number): void {
    this.#answerBytes += sizeBytes;
    while (this.#answerBytes >= ANSWER_BYTES) {
      this.#answerBytes -= ANSWER_BYTES;
      this.#waiting.shift()?.();
    }
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
