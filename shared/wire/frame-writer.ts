import { assert } from "../base/assert.ts";
import { concatBytes } from "../base/bytes.ts";
import type { Link } from "../ports/network.ts";
import { Fifo } from "./fifo.ts";

/** Largest size of one write, unless a single frame is larger. */
const WRITE_BYTES_MAX = 1024 * 1024;
/**
 * No write starts while the system holds this many bytes, so that urgent frames are not delayed.
 */
const WRITING_BYTES_MAX = 2 * 1024 * 1024;
/** Parts of up to this size are merged: one large part is cheaper to write than many small ones. */
const MERGED_PART_BYTES_MAX = 4096;
/** At this many queued bytes a write starts immediately, because it is large enough. */
const GATHER_BYTES_MAX = 16 * 1024;
/** Largest number of promise turns that a write waits for more frames of the same event. */
const GATHER_TURNS_MAX = 16;
/** A write starts after this many promise turns without a new frame. */
const QUIET_TURNS = 3;

/** A frame to send. */
export interface Outgoing {
  /** Header and head. */
  readonly frame: Uint8Array;
  /** Sent after `frame`. Must not be modified before `onSettled`. */
  readonly body: Uint8Array | null;
  /**
   * Called once when `body` may be reused. `isSent` is false if the frame was dropped or failed.
   */
  readonly onSettled: ((isSent: boolean) => void) | null;
}

/** A frame in the queue of the writer, or in a write. */
export class QueuedFrame {
  readonly frame: Uint8Array;
  readonly body: Uint8Array | null;
  readonly onSettled: ((isSent: boolean) => void) | null;
  readonly sizeBytes: number;
  state: "queued" | "writing" | "dropped" = "queued";

  constructor({ frame, body, onSettled }: Outgoing) {
    this.frame = frame;
    this.body = body;
    this.onSettled = onSettled;
    this.sizeBytes = frame.length + (body === null ? 0 : body.length);
  }
}

/** Options of `FrameWriter`. */
export interface FrameWriterOptions {
  readonly onFailed: (error: unknown) => void;
  /** Calls `flush` before the next pause in the frames, possibly within this call. */
  readonly hold: (flush: () => void) => void;
}

/**
 * Sends frames, many in one write.
 *
 * A frame is written when the event that caused it has been handled, together with all other frames
 * of that event. Urgent frames (credit, ping, pong) overtake the others, which keep their order.
 */
export class FrameWriter {
  readonly #link: Link;
  readonly #onFailed: (error: unknown) => void;
  readonly #hold: (flush: () => void) => void;
  readonly #urgent = new Fifo<QueuedFrame>();
  readonly #ordered = new Fifo<QueuedFrame>();
  #queuedBytes = 0;
  #writingBytes = 0;
  #isGathering = false;
  #gatherTurns = 0;
  #quietTurns = 0;
  #isStopped = false;
  /** Tasks to call once fewer than `bytes` are queued or being written. */
  readonly #watchers = new Set<{ readonly bytes: number; readonly task: () => void }>();
  #writesDone = 0;

  constructor(link: Link, { onFailed, hold }: FrameWriterOptions) {
    this.#link = link;
    this.#onFailed = onFailed;
    this.#hold = hold;
  }

  /** Bytes of queued frames and of those in a write. */
  get unsentBytes(): number {
    return this.#queuedBytes + this.#writingBytes;
  }

  /** Number of finished writes. Null while no write is in progress. */
  get progress(): number | null {
    return this.#writingBytes === 0 ? null : this.#writesDone;
  }

  /** Queues a frame after the others. */
  send(outgoing: Outgoing): QueuedFrame {
    const queuedFrame = new QueuedFrame(outgoing);
    this.#enqueue(this.#ordered, queuedFrame);
    return queuedFrame;
  }

  /** Queues a frame before the frames of `send`. */
  sendUrgent(frame: Uint8Array, onSettled: (() => void) | null = null): void {
    this.#enqueue(this.#urgent, new QueuedFrame({ frame, body: null, onSettled }));
  }

  /**
   * Calls `task` once when fewer than `bytes` are queued or being written, possibly within this
   * call.
   */
  onceUnsentBelow(bytes: number, task: () => void): void {
    this.#watchers.add({ bytes, task });
    this.#callWatchers();
  }

  #callWatchers(): void {
    for (const watcher of this.#watchers) {
      if (this.unsentBytes >= watcher.bytes) continue;
      this.#watchers.delete(watcher);
      watcher.task();
    }
  }

  /** Removes a frame from the queue. Returns false if it may have reached the peer. */
  drop(queuedFrame: QueuedFrame): boolean {
    if (queuedFrame.state !== "queued") return queuedFrame.state === "dropped";
    queuedFrame.state = "dropped";
    this.#queuedBytes -= queuedFrame.sizeBytes;
    queuedFrame.onSettled?.(false);
    return true;
  }

  /** Drops the queued frames. Frames in a write settle when the link releases them. */
  stop(): void {
    this.#isStopped = true;
    for (const queuedFrame of this.#ordered.takeAll()) this.drop(queuedFrame);
    for (const queuedFrame of this.#urgent.takeAll()) this.drop(queuedFrame);
  }

  #enqueue(queue: Fifo<QueuedFrame>, queuedFrame: QueuedFrame): void {
    if (this.#isStopped) {
      queuedFrame.state = "dropped";
      queuedFrame.onSettled?.(false);
      return;
    }
    queue.push(queuedFrame);
    this.#queuedBytes += queuedFrame.sizeBytes;
    if (this.#queuedBytes >= GATHER_BYTES_MAX) {
      this.flush();
      return;
    }
    this.#quietTurns = 0;
    if (this.#isGathering) return;
    this.#isGathering = true;
    this.#gatherTurns = 0;
    this.#gather();
  }

  #gather(): void {
    // A rejection means a bug: #afterTurn does not throw otherwise.
    Promise.resolve().then(this.#afterTurn, this.#onFailed);
  }

  readonly #afterTurn = (): void => {
    this.#gatherTurns += 1;
    this.#quietTurns += 1;
    if (this.#quietTurns < QUIET_TURNS && this.#gatherTurns < GATHER_TURNS_MAX) {
      this.#gather();
      return;
    }
    this.#hold(this.#endGathering);
  };

  readonly #endGathering = (): void => {
    this.#isGathering = false;
    this.flush();
  };

  /** Writes queued frames until the system holds WRITING_BYTES_MAX. */
  flush(): void {
    while (!this.#isStopped && this.#queuedBytes > 0 && this.#writingBytes < WRITING_BYTES_MAX) {
      const batch = this.#takeBatch();
      if (batch.length > 0) this.#write(batch);
    }
  }

  #takeBatch(): QueuedFrame[] {
    const batch = this.#urgent.takeAll();
    let bytes = 0;
    for (const queuedFrame of batch) bytes += queuedFrame.sizeBytes;
    while (bytes < WRITE_BYTES_MAX) {
      const queuedFrame = this.#ordered.shift();
      if (queuedFrame === undefined) break;
      if (queuedFrame.state === "dropped") continue;
      batch.push(queuedFrame);
      bytes += queuedFrame.sizeBytes;
    }
    for (const queuedFrame of batch) queuedFrame.state = "writing";
    this.#queuedBytes -= bytes;
    this.#writingBytes += bytes;
    assert(this.#queuedBytes >= 0, "the queued bytes are the sum over the queued frames");
    return batch;
  }

  #write(batch: readonly QueuedFrame[]): void {
    let bytes = 0;
    for (const queuedFrame of batch) bytes += queuedFrame.sizeBytes;
    const settle = (isSent: boolean): void => {
      this.#writingBytes -= bytes;
      this.#writesDone += 1;
      for (const queuedFrame of batch) queuedFrame.onSettled?.(isSent);
    };
    this.#link.write(mergeParts(batch)).then(
      () => {
        settle(true);
        this.flush();
        if (this.#watchers.size > 0) this.#callWatchers();
      },
      (error: unknown) => {
        settle(false);
        this.#onFailed(error);
      },
    );
  }
}

/** Returns the bytes of `batch` in order, with neighbouring small parts merged. */
function mergeParts(batch: readonly Outgoing[]): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let small: Uint8Array[] = [];
  const flushSmall = (): void => {
    if (small.length > 0)
      parts.push(small.length === 1 ? (small[0] as Uint8Array) : concatBytes(small));
    small = [];
  };
  const add = (part: Uint8Array): void => {
    if (part.length <= MERGED_PART_BYTES_MAX) {
      small.push(part);
      return;
    }
    flushSmall();
    parts.push(part);
  };
  for (const { frame, body } of batch) {
    add(frame);
    if (body !== null) add(body);
  }
  flushSmall();
  return parts;
}
