import { assert } from "../../shared/base/assert.ts";
import { AshlarError, fromErrorData } from "../../shared/base/errors.ts";
import type { ChunkId, ServerId } from "../../shared/base/ids.ts";
import type { Clock, Timer } from "../../shared/ports/clock.ts";
import {
  type WriteDown,
  type WriteOpen,
  type WriteUp,
  writeChunk,
} from "../../shared/protocol/chunk-api.ts";
import type { Intent, Receipt } from "../../shared/protocol/intent.ts";
import type { Stream } from "../../shared/wire/rpc.ts";
import type { Chunkservers } from "../chunkservers/chunkservers.ts";
import { asAshlarError, type Deadline } from "../deadline.ts";
import type { ChunkBuffer, ChunkFrame } from "./chunk-buffer.ts";
import type { Notifier } from "./notifier.ts";

/** A chain that has bytes to acknowledge and is silent for so long is given up. */
const ACK_TIMEOUT_MS = 10_000;
/** Syncing a chunk to disk may take long on a disk that is busy. */
const SEAL_TIMEOUT_MS = 60_000;
/** A stream of a slow source is opened anew after so long. */
const STREAM_TIMEOUT_MS = 60 * 60 * 1000;
/** Frames handed to the wire and not yet with the system: so that it need not wait for us. */
const SENDS_MAX = 3;

type ChainStream = Stream<WriteUp, WriteDown>;

export type AttemptResult =
  | { readonly kind: "sealed"; readonly receipts: readonly Receipt[] }
  /** `blamed`: who broke it, null where that is not known. */
  | { readonly kind: "broken"; readonly blamed: ServerId | null; readonly error: AshlarError };

export interface WriteAttemptOptions {
  readonly chunkservers: Chunkservers;
  readonly clock: Clock;
  readonly deadline: Deadline;
  readonly buffer: ChunkBuffer;
  /** Rung when something was put into the buffer or acknowledged. */
  readonly notifier: Notifier;
  readonly writeId: string;
  readonly intent: Intent;
  readonly sizeHintBytes: number | null;
  readonly resumeAtBytes: number;
  readonly fillFrom: string | null;
  /** Monotonic time after which the intent is too old to seal under: a commit has to follow. */
  readonly sealBeforeMs: number;
  /** The id of the chunk; asked for once it is whole. */
  readonly chunkId: () => ChunkId;
  /** The buffer was told of more acknowledged bytes. */
  readonly onAcked: () => void;
}

/** One chain, from its opening to the seal or the break. Never throws but for a bug. */
export class WriteAttempt {
  readonly #options: WriteAttemptOptions;
  #sentBytes: number;
  /** Since when something has been waited for; null if nothing is. */
  #waitingSinceMs: number | null;
  #sealSent = false;
  #isOver = false;
  #watch: Timer | null = null;
  /** Bytes put on the wire by this attempt. */
  wireBytes = 0;

  constructor(options: WriteAttemptOptions) {
    this.#options = options;
    this.#sentBytes = options.resumeAtBytes;
    this.#waitingSinceMs = options.clock.monotonicMs();
  }

  async run(): Promise<AttemptResult> {
    const { chunkservers, intent } = this.#options;
    const [head] = intent.servers;
    assert(head !== undefined, "an intent names a server");
    chunkservers.health.recordStart(head.serverId);
    using fork = this.#options.deadline.fork();
    let stream: ChainStream | null = null;
    let sending: Promise<void> | null = null;
    let result: AttemptResult | null = null;
    try {
      stream = await chunkservers.open(head, writeChunk, this.#request(), {
        deadline: this.#options.deadline,
        signal: fork.signal,
        timeoutMs: STREAM_TIMEOUT_MS,
      });
      this.#startWatch(stream);
      sending = this.#send(stream);
      sending.catch(() => {}); // What fails the sends ends `receive` too, with the reason.
      result = await this.#receive(stream);
      return result;
    } catch (error) {
      const cause = asAshlarError(error, "write a chunk");
      return { kind: "broken", blamed: isServerFault(cause) ? head.serverId : null, error: cause };
    } finally {
      this.#isOver = true;
      this.#watch?.cancel();
      if (result?.kind === "sealed") stream?.end();
      else stream?.cancel(new AshlarError("CANCELLED", "The writer is done with this chain"));
      this.#options.notifier.notify(); // The sender may be waiting for a frame.
      await sending?.catch(() => {});
      chunkservers.health.recordEnd(head.serverId);
    }
  }

  #request(): WriteOpen {
    const { writeId, intent, sizeHintBytes, resumeAtBytes, fillFrom } = this.#options;
    return { writeId, intent, position: 0, sizeHintBytes, resumeAtBytes, fillFrom };
  }

  async #send(stream: ChainStream): Promise<void> {
    const { buffer, notifier } = this.#options;
    const sends: Array<Promise<void>> = [];
    while (!this.#isOver) {
      const frame = buffer.frameAt(this.#sentBytes);
      if (frame !== null) {
        if (sends.length === SENDS_MAX) await sends.shift();
        const send = this.#sendFrame(stream, frame);
        send.catch(() => {}); // Awaited in its turn.
        sends.push(send);
      } else if (buffer.isEnded) {
        this.#sealSent = true;
        this.#waitingSinceMs = this.#options.clock.monotonicMs();
        if (this.#waitingSinceMs > this.#options.sealBeforeMs) throw cancelExpired(stream);
        const chunkId = this.#options.chunkId();
        await stream.send({ kind: "seal", chunkId, lengthBytes: buffer.lengthBytes });
        break;
      } else {
        await notifier.wait();
      }
    }
    await Promise.all(sends);
  }

  async #sendFrame(stream: ChainStream, frame: ChunkFrame): Promise<void> {
    const { offsetBytes, bytes, hashes, slab } = frame;
    this.#sentBytes = offsetBytes + bytes.length;
    this.wireBytes += bytes.length;
    this.#waitingSinceMs ??= this.#options.clock.monotonicMs();
    // An acknowledgement may come before the wire is done with the bytes.
    slab?.retain();
    try {
      await stream.send({ kind: "blocks", offsetBytes, hashes }, bytes);
    } finally {
      slab?.release();
    }
  }

  async #receive(stream: ChainStream): Promise<AttemptResult> {
    for (;;) {
      const message = await stream.receive();
      if (message === null) {
        throw new AshlarError("CONNECTION_LOST", "The chain ended before the chunk was sealed");
      }
      message.release();
      const { head } = message;
      switch (head.kind) {
        case "opened":
          this.#noteProgress(this.#options.resumeAtBytes);
          break;
        case "ack":
          this.#noteProgress(head.bytes);
          break;
        case "sealed":
          return { kind: "sealed", receipts: this.#checkReceipts(head.receipts) };
        case "failed": {
          const error = fromErrorData(head.error as Parameters<typeof fromErrorData>[0]);
          return { kind: "broken", blamed: isServerFault(error) ? head.serverId : null, error };
        }
      }
    }
  }

  #noteProgress(ackedBytes: number): void {
    const { buffer, notifier, clock } = this.#options;
    // A server that had sealed the chunk before knows all of it: only what was sent counts here.
    const countedBytes = Math.min(ackedBytes, this.#sentBytes);
    buffer.ack(countedBytes);
    const isWaiting = this.#sealSent || countedBytes < this.#sentBytes;
    this.#waitingSinceMs = isWaiting ? clock.monotonicMs() : null;
    this.#options.onAcked();
    notifier.notify();
  }

  #checkReceipts(receipts: readonly Receipt[]): readonly Receipt[] {
    const { intent } = this.#options;
    const isWhole =
      this.#sealSent &&
      receipts.length === intent.servers.length &&
      intent.servers.every(({ serverId }) =>
        receipts.some((receipt) => receipt.serverId === serverId),
      );
    if (isWhole) return receipts;
    throw new AshlarError(
      "PROTOCOL_ERROR",
      `The chain sealed a chunk with ${receipts.length} receipts: expected one of each of its ${intent.servers.length} servers`,
    );
  }

  /** Gives the chain up when it is silent for too long. */
  #startWatch(stream: ChainStream): void {
    const { clock } = this.#options;
    const limitMs = (): number => (this.#sealSent ? SEAL_TIMEOUT_MS : ACK_TIMEOUT_MS);
    const look = (): void => {
      const waitedMs = clock.monotonicMs() - (this.#waitingSinceMs ?? clock.monotonicMs());
      if (waitedMs < limitMs()) {
        this.#watch = clock.after(limitMs() - waitedMs, look);
        return;
      }
      const what = this.#sealSent ? "seal the chunk" : "acknowledge its bytes";
      stream.cancel(
        new AshlarError("DEADLINE_EXCEEDED", `The chain did not ${what} in ${limitMs()} ms`),
      );
    };
    this.#watch = clock.after(ACK_TIMEOUT_MS, look);
  }
}

/** Breaks the chain, so that it is taken up again under a new intent. */
function cancelExpired(stream: ChainStream): AshlarError {
  const error = new AshlarError("INTENT_EXPIRED", "Cannot seal under an intent that grew old");
  stream.cancel(error);
  return error;
}

/** Whether `error` is the fault of the server that reported it, rather than of this writer or of time. */
function isServerFault(error: AshlarError): boolean {
  switch (error.code) {
    case "CANCELLED":
    case "DEADLINE_EXCEEDED":
    case "INTENT_EXPIRED":
    case "INVALID_ARGUMENT":
      return false;
    default:
      return true;
  }
}
