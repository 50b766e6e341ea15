import { assert } from "../../shared/base/assert.ts";
import { AshlarError, fromErrorData } from "../../shared/base/errors.ts";
import type { ChunkId, ServerId } from "../../shared/base/ids.ts";
import { Deferred } from "../../shared/flow/deferred.ts";
import type { Clock, Timer } from "../../shared/ports/clock.ts";
import { WRITER_SEAL_TIMEOUT_MS } from "../../shared/protocol/chain-timeouts.ts";
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

/** Timeout for the acknowledgement of sent bytes. The chain is then abandoned. */
const ACK_TIMEOUT_MS = 10_000;
/** Lifetime of a stream. A chunk of a slow source continues in another stream. */
const STREAM_TIMEOUT_MS = 60 * 60 * 1000;
/**
 * Frames passed to the wire whose bytes the system has not taken yet. Keeps the send queue filled.
 */
const SENDS_MAX = 3;

/** Largest chunk that is sent before the servers have admitted the write. */
export const EARLY_BYTES_MAX = 256 * 1024;

type ChainStream = Stream<WriteUp, WriteDown>;

/** Outcome of one chain. */
export type AttemptResult =
  | { readonly kind: "sealed"; readonly receipts: readonly Receipt[] }
  /** `blamed`: the server that broke the chain, null if unknown. */
  | { readonly kind: "broken"; readonly blamed: ServerId | null; readonly error: AshlarError };

/** Dependencies and parameters of a `WriteAttempt`. */
export interface WriteAttemptOptions {
  readonly chunkservers: Chunkservers;
  readonly clock: Clock;
  readonly deadline: Deadline;
  readonly buffer: ChunkBuffer;
  /** Notified when the buffer has more frames or more acknowledged bytes. */
  readonly notifier: Notifier;
  readonly writeId: string;
  readonly intent: Intent;
  readonly sizeHintBytes: number | null;
  readonly resumeAtBytes: number;
  readonly fillFrom: string | null;
  /** Whether a small chunk may be sent before the servers are ready. */
  readonly maySendEarly: boolean;
  /**
   * Monotonic time after which the chunk must not be sealed: the intent could expire before the
   * commit.
   */
  readonly sealBeforeMs: number;
  /** Returns the id of the complete chunk. */
  readonly chunkId: () => ChunkId;
  /** Called when every server of the chain is ready. */
  readonly onOpened: () => void;
  /** Called after the acknowledged bytes of the buffer have changed. */
  readonly onAcked: () => void;
}

/** Writes a chunk through one chain, until it is sealed or the chain breaks. */
export class WriteAttempt {
  readonly #options: WriteAttemptOptions;
  /** Settled when every server is ready, or when the attempt is over. */
  readonly #opened = new Deferred<void>();
  #sentBytes: number;
  /** Monotonic time since when a response is due. Null if none is. */
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

  /** Resolves with the outcome of the chain. Rejects only because of a bug. */
  async run(): Promise<AttemptResult> {
    const { chunkservers, intent } = this.#options;
    const [head] = intent.servers;
    assert(head !== undefined, "an intent has at least one server");
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
      sending.catch(() => {}); // An error of `#send` also ends `#receive`, which reports it.
      result = await this.#receive(stream);
      return result;
    } catch (error) {
      const cause = asAshlarError(error, "write a chunk");
      return { kind: "broken", blamed: isServerFault(cause) ? head.serverId : null, error: cause };
    } finally {
      this.#isOver = true;
      this.#watch?.cancel();
      if (result?.kind === "sealed") stream?.end();
      else stream?.cancel(new AshlarError("CANCELLED", "The writer has abandoned this chain"));
      this.#opened.resolve();
      this.#options.notifier.notify(); // Wakes `#send`, which may wait for a frame.
      await sending?.catch(() => {});
      chunkservers.health.recordEnd(head.serverId);
    }
  }

  /** Whether the chunk is sent before the servers are ready: it saves a round trip. */
  get #sendsEarly(): boolean {
    const { sizeHintBytes, maySendEarly } = this.#options;
    return maySendEarly && sizeHintBytes !== null && sizeHintBytes <= EARLY_BYTES_MAX;
  }

  #request(): WriteOpen {
    const { writeId, intent, sizeHintBytes, resumeAtBytes, fillFrom } = this.#options;
    return { writeId, intent, position: 0, sizeHintBytes, resumeAtBytes, fillFrom, waits: true };
  }

  /** Sends frames as they are pushed, then the seal. Keeps `SENDS_MAX` sends pending. */
  async #send(stream: ChainStream): Promise<void> {
    const { buffer, notifier } = this.#options;
    const sends: Array<Promise<void>> = [];
    // A server has little memory for bytes of a write that it has not admitted yet.
    if (!this.#sendsEarly) await this.#opened.promise;
    while (!this.#isOver) {
      const frame = buffer.frameAt(this.#sentBytes);
      if (frame !== null) {
        if (sends.length === SENDS_MAX) await sends.shift();
        const send = this.#sendFrame(stream, frame);
        send.catch(() => {}); // Awaited in order.
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
    // The wire may still use the bytes when their acknowledgement arrives.
    slab?.retain();
    try {
      await stream.send({ kind: "blocks", offsetBytes, hashes }, bytes);
    } finally {
      slab?.release();
    }
  }

  /** Handles responses until the chunk is sealed or the chain fails. */
  async #receive(stream: ChainStream): Promise<AttemptResult> {
    for (;;) {
      const message = await stream.receive();
      if (message === null) {
        throw new AshlarError("CONNECTION_LOST", "The chain ended before the chunk was sealed");
      }
      message.release();
      const { head } = message;
      switch (head.kind) {
        case "waiting":
          this.#waitingSinceMs = this.#options.clock.monotonicMs();
          break;
        case "opened":
          this.#opened.resolve();
          this.#options.onOpened();
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
    // A server that sealed the chunk in an earlier attempt acknowledges all of it. Only sent bytes
    // count.
    const countedBytes = Math.min(ackedBytes, this.#sentBytes);
    buffer.ack(countedBytes);
    const isWaiting = this.#sealSent || countedBytes < this.#sentBytes;
    this.#waitingSinceMs = isWaiting ? clock.monotonicMs() : null;
    this.#options.onAcked();
    notifier.notify();
  }

  /** Returns `receipts` if there is one of each server. @throws {AshlarError} PROTOCOL_ERROR */
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
      `Cannot accept a sealed chunk: expected a receipt of each of ${intent.servers.length} servers: current number is ${receipts.length}`,
    );
  }

  /** Starts the timer that cancels the stream when a response is overdue. */
  #startWatch(stream: ChainStream): void {
    const { clock } = this.#options;
    const limitMs = (): number => (this.#sealSent ? WRITER_SEAL_TIMEOUT_MS : ACK_TIMEOUT_MS);
    const check = (): void => {
      const waitedMs = clock.monotonicMs() - (this.#waitingSinceMs ?? clock.monotonicMs());
      if (waitedMs < limitMs()) {
        this.#watch = clock.after(limitMs() - waitedMs, check);
        return;
      }
      const action = this.#sealSent ? "seal the chunk" : "acknowledge its bytes";
      stream.cancel(
        new AshlarError("DEADLINE_EXCEEDED", `The chain did not ${action} within ${limitMs()} ms`),
      );
    };
    this.#watch = clock.after(ACK_TIMEOUT_MS, check);
  }
}

/** Cancels the stream, so that the write continues under a new intent. */
function cancelExpired(stream: ChainStream): AshlarError {
  const error = new AshlarError("INTENT_EXPIRED", "Cannot seal the chunk: its intent is too old");
  stream.cancel(error);
  return error;
}

/**
 * Returns whether the server that reported `error` caused it, rather than the writer or a timeout.
 */
export function isServerFault(error: AshlarError): boolean {
  switch (error.code) {
    case "CANCELLED":
    case "DEADLINE_EXCEEDED":
    case "INTENT_EXPIRED":
    case "OVERLOADED": // It has other work.
    case "INVALID_ARGUMENT":
      return false;
    default:
      return true;
  }
}
