import { assert } from "../../shared/base/assert.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import { BLOCK_BYTES } from "../../shared/base/ids.ts";
import { Deferred } from "../../shared/flow/deferred.ts";
import { FairQueue } from "../../shared/flow/fair-queue.ts";
import { SLAB_SHARE_MAX } from "../../shared/flow/slabs.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import { FRAME_BYTES_MAX } from "../../shared/protocol/chunk-api.ts";

/** Receive window of the stream of one write: the bytes that the writer may send in advance. */
export const WRITE_WINDOW_BYTES = 4 * 1024 * 1024;

/**
 * Memory of a write of unknown length. One message beyond the window may arrive (StreamReceiver), and slabs
 * are larger than the blocks in them.
 */
const WRITE_BYTES_MAX = SLAB_SHARE_MAX * (WRITE_WINDOW_BYTES + FRAME_BYTES_MAX);
/** Last position in a chain with memory of its own. A storage class has at most 9 copies. */
const POSITION_MAX = 8;
/** Writes that wait. Further ones are refused. */
const WAITING_MAX = 4096;
/** Longest wait. */
const WAIT_MS_MAX = 60 * 60_000;
/** A writer that has sent less than ACTIVE_BYTES_MIN in this time can lose its memory to one that waits. */
const IDLE_MS_MAX = 5_000;
const ACTIVE_BYTES_MIN = 1024 * 1024;
/** Interval in which idle writers are searched while others wait. */
const SEARCH_MS = 500;

/** A request for the memory of a write. */
export interface AdmissionRequest {
  /** The sender of the request. The sources are served in turn. */
  readonly source: string;
  /** Position of this server in the chain. */
  readonly position: number;
  /** Length of the chunk in bytes. Null if it is not known. */
  readonly sizeHintBytes: number | null;
  readonly signal: AbortSignal;
  /** Time in milliseconds after which a request that waits is refused. */
  readonly waitMsMax: number;
}

/** The memory of an admitted write. Its owner calls `release` once, at the end of the write. */
export interface AdmittedWrite {
  /** Rejects with OVERLOADED when an idle writer loses the memory. Never resolves. */
  readonly revoked: Promise<never>;
  /**
   * Returns the bytes received so far if the write waits for its writer, else null. Until it is set, the
   * write is never idle.
   */
  receivedWhileWaiting: () => number | null;
  release(): void;
}

/**
 * Bounds the memory of all writes together, and lets writes wait for it.
 *
 * Each admitted write reserves in advance the bytes that its stream's window lets the writer send. So the
 * receive slabs are never exhausted, and no admitted write waits for the memory of another one.
 *
 * A write that waits here holds memory on the servers before this one. Each position after the first has
 * memory for one write of its own, which writes at other positions never take. So writes do not wait for
 * one another in a circle, in any order of the servers in their chains: the last server of a
 * chain waits for nothing, and another one only for later positions (classes of buffers by the number of
 * hops: P. M. Merlin, P. J. Schweitzer, "Deadlock Avoidance in Store-and-Forward Networks", 1980).
 */
export class WriteAdmission {
  readonly #clock: Clock;
  readonly #sharedBytesMax: number;
  #sharedBytes = 0;
  /** The positions whose own memory is in use. */
  readonly #ownInUse = new Set<number>();
  readonly #admitted = new Set<Admitted>();
  readonly #waiting = new FairQueue<Waiting>();
  readonly #onIdle: (() => void)[] = [];
  #isSearching = false;

  /** @param bytesMax memory of all writes; more if it has no room for one write of each position */
  constructor(bytesMax: number, clock: Clock) {
    this.#clock = clock;
    this.#sharedBytesMax = Math.max(WRITE_BYTES_MAX, bytesMax - OWN_BYTES);
  }

  /** Upper bound of `reservedBytes`. */
  get bytesMax(): number {
    return this.#sharedBytesMax + OWN_BYTES;
  }

  /** Number of admitted writes. */
  get count(): number {
    return this.#admitted.size;
  }

  /** Number of writes that wait. */
  get waitingCount(): number {
    return this.#waiting.size;
  }

  /** Bytes reserved for the admitted writes. */
  get reservedBytes(): number {
    return this.#sharedBytes + this.#ownInUse.size * WRITE_BYTES_MAX;
  }

  /** Returns the number of waiting writes that are served before the last one of this source. */
  waitingBefore(source: string): number {
    return this.#waiting.before(source);
  }

  /**
   * Resolves when there is memory for the write.
   *
   * @throws {AshlarError} OVERLOADED after `waitMsMax`, or at once if too many wait: the write had no
   *   effect; the reason of `signal`
   */
  async admit(request: AdmissionRequest): Promise<AdmittedWrite> {
    const admitted = this.#tryAdmit(request);
    if (admitted !== null) return admitted;
    const { source, signal, waitMsMax } = request;
    if (this.#waiting.size >= WAITING_MAX || waitMsMax <= 0) throw this.#refusal();
    signal.throwIfAborted();
    const granted = new Deferred<AdmittedWrite>();
    const waiting = { request, grant: (write: AdmittedWrite) => granted.resolve(write) };
    this.#waiting.push(source, waiting);
    this.#searchIdle();
    const end = (error: AshlarError): void => {
      this.#waiting.delete(source, waiting);
      granted.reject(error);
    };
    const timer = this.#clock.after(Math.min(waitMsMax, WAIT_MS_MAX), () => end(this.#refusal()));
    const onAbort = (): void => end(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      return await granted.promise;
    } finally {
      timer.cancel();
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Resolves when no write is in progress. */
  idle(): Promise<void> {
    if (this.#admitted.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onIdle.push(resolve);
    });
  }

  #tryAdmit(request: AdmissionRequest): Admitted | null {
    const bytes = bytesOf(request);
    if (this.#waiting.size === 0 && this.#sharedBytes + bytes <= this.#sharedBytesMax) {
      return this.#admitShared(bytes);
    }
    const position = Math.min(request.position, POSITION_MAX);
    if (position === 0 || this.#ownInUse.has(position)) return null;
    this.#ownInUse.add(position);
    return this.#add(() => this.#ownInUse.delete(position));
  }

  #admitShared(bytes: number): Admitted {
    this.#sharedBytes += bytes;
    return this.#add(() => {
      this.#sharedBytes -= bytes;
    });
  }

  #add(free: () => void): Admitted {
    const admitted: Admitted = new Admitted(() => {
      assert(this.#admitted.delete(admitted), "a write is released once");
      free();
      this.#serve();
      if (this.#admitted.size === 0) for (const wake of this.#onIdle.splice(0)) wake();
    });
    this.#admitted.add(admitted);
    return admitted;
  }

  /** Admits the writes that wait, as far as there is memory. */
  #serve(): void {
    for (;;) {
      const next = this.#waiting.peek();
      if (next === undefined) return;
      const bytes = bytesOf(next.request);
      if (this.#sharedBytes + bytes > this.#sharedBytesMax) break;
      this.#waiting.shift();
      next.grant(this.#admitShared(bytes));
    }
    this.#serveOwn();
  }

  /** Admits writes into free memory of their position, in any order of the sources. */
  #serveOwn(): void {
    for (const waiting of this.#waiting) {
      const position = Math.min(waiting.request.position, POSITION_MAX);
      if (position === 0 || this.#ownInUse.has(position)) continue;
      this.#waiting.delete(waiting.request.source, waiting);
      this.#ownInUse.add(position);
      waiting.grant(this.#add(() => this.#ownInUse.delete(position)));
    }
  }

  /** Takes the memory of idle writers back as long as others wait, once for each that waits. */
  #searchIdle(): void {
    if (this.#isSearching) return;
    this.#isSearching = true;
    this.#clock.after(SEARCH_MS, () => {
      this.#isSearching = false;
      if (this.#waiting.size === 0) return;
      const nowMs = this.#clock.monotonicMs();
      const idle = [...this.#admitted].filter((write) => write.idleMs(nowMs) >= IDLE_MS_MAX);
      for (const write of idle.slice(0, this.#waiting.size)) write.revoke();
      this.#searchIdle();
    });
  }

  #refusal(): AshlarError {
    return new AshlarError(
      "OVERLOADED",
      `Cannot accept another write: expected at most ${this.bytesMax} bytes in flight: ${this.count} writes hold ${this.reservedBytes}, and ${this.waitingCount} wait`,
    );
  }
}

const OWN_BYTES = POSITION_MAX * WRITE_BYTES_MAX;

/** A write that waits. */
interface Waiting {
  readonly request: AdmissionRequest;
  readonly grant: (write: Admitted) => void;
}

class Admitted implements AdmittedWrite {
  receivedWhileWaiting: () => number | null = () => null;
  readonly release: () => void;
  readonly #revoked = new Deferred<never>();
  /** Time and received bytes at which the writer last seemed to be active. Null: this server works. */
  #lastActive: { readonly atMs: number; readonly receivedBytes: number } | null = null;

  constructor(release: () => void) {
    this.release = release;
  }

  get revoked(): Promise<never> {
    return this.#revoked.promise;
  }

  /** Returns how long the writer has been idle, as far as the calls of this method have seen it. */
  idleMs(nowMs: number): number {
    const receivedBytes = this.receivedWhileWaiting();
    if (receivedBytes === null) this.#lastActive = null;
    else if (receivedBytes >= (this.#lastActive?.receivedBytes ?? -1) + ACTIVE_BYTES_MIN) {
      this.#lastActive = { atMs: nowMs, receivedBytes };
    }
    this.#lastActive ??= receivedBytes === null ? null : { atMs: nowMs, receivedBytes };
    return this.#lastActive === null ? 0 : nowMs - this.#lastActive.atMs;
  }

  revoke(): void {
    const text = `Cannot wait longer for the writer: it has sent less than ${ACTIVE_BYTES_MIN} bytes in ${IDLE_MS_MAX} ms, and other writes wait for its memory`;
    this.#revoked.reject(new AshlarError("OVERLOADED", text));
  }
}

/** Returns the memory that a write needs. */
function bytesOf({ sizeHintBytes }: Pick<AdmissionRequest, "sizeHintBytes">): number {
  if (sizeHintBytes === null) return WRITE_BYTES_MAX;
  // Frames of any number of blocks: the slab of the last one has at most the size of a block more.
  return Math.min(WRITE_BYTES_MAX, SLAB_SHARE_MAX * sizeHintBytes + BLOCK_BYTES);
}
