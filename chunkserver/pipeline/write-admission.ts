import { assert, present } from "../../shared/base/assert.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import { BLOCK_BYTES } from "../../shared/base/ids.ts";
import { listenToAbort } from "../../shared/flow/abort-listeners.ts";
import { Deferred } from "../../shared/flow/deferred.ts";
import { FairQueue } from "../../shared/flow/fair-queue.ts";
import { SLAB_SHARE_MAX } from "../../shared/flow/slabs.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import { FRAME_BYTES_MAX } from "../../shared/protocol/chunk-api.ts";
import { CHAIN_SERVERS_MAX } from "../../shared/protocol/intent.ts";
import { sumOf } from "./sum-of.ts";

/** Receive window of the stream of one write: the bytes that the writer may send in advance. */
export const WRITE_WINDOW_BYTES = 4 * 1024 * 1024;

/**
 * Memory of a write of unknown length. One message beyond the window may arrive (StreamReceiver), and slabs
 * are larger than the blocks in them.
 */
const WRITE_BYTES_MAX = SLAB_SHARE_MAX * (WRITE_WINDOW_BYTES + FRAME_BYTES_MAX);
/** Largest number of servers after one in a chain. */
const HOPS_MAX = CHAIN_SERVERS_MAX - 1;
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
  /** Number of servers after this one in the chain. */
  readonly hopsAfter: number;
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
 * receive slabs of this server are never exhausted.
 *
 * A write that is admitted here can still wait at a later server. It then holds its memory here and gets no
 * bytes: its writer has not received `opened`. Writes with more servers after
 * this one may take a smaller part of the memory (`#limits`), and the difference is at least the memory
 * of one write. So writes do not wait for one another in a circle, in any order of the servers in
 * their chains: the last server of a chain waits for nothing, and another one only for writes that
 * have fewer servers after them (classes of buffers by the number of hops: P. M. Merlin, P. J. Schweitzer,
 * "Deadlock Avoidance in Store-and-Forward Networks", 1980).
 */
export class WriteAdmission {
  readonly bytesMax: number;
  readonly #clock: Clock;
  /** By number of hops: the largest sum of the memory of writes with so many hops or more. */
  readonly #limits: readonly number[];
  /** By number of hops: the memory of the admitted writes. */
  readonly #bytes: number[] = CLASSES.map(() => 0);
  readonly #admitted = new Set<Admitted>();
  /** By number of hops: the writes that wait. */
  readonly #queues: readonly FairQueue<Waiting>[] = CLASSES.map(() => new FairQueue<Waiting>());
  /** The number of hops that is served next. */
  #nextClass = 0;
  readonly #onIdle: (() => void)[] = [];
  #isSearching = false;

  /** @param bytesMax memory of all writes; more if it has no room for a write of each number of hops */
  constructor(bytesMax: number, clock: Clock) {
    this.#clock = clock;
    this.bytesMax = Math.max(bytesMax, CLASSES.length * WRITE_BYTES_MAX);
    this.#limits = CLASSES.map((hops) => limitOf(hops, this.bytesMax));
  }

  /** Number of admitted writes. */
  get count(): number {
    return this.#admitted.size;
  }

  /** Number of writes that wait. */
  get waitingCount(): number {
    return sumOf(this.#queues.map(({ size }) => size));
  }

  /** Bytes reserved for the admitted writes. */
  get reservedBytes(): number {
    return sumOf(this.#bytes);
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
    const queue = this.#queueOf(request);
    if (this.waitingCount >= WAITING_MAX || waitMsMax <= 0) throw this.#refusal();
    signal.throwIfAborted();
    const granted = new Deferred<AdmittedWrite>();
    const waiting = { request, grant: (write: AdmittedWrite) => granted.resolve(write) };
    queue.push(source, waiting);
    this.#searchIdle();
    const end = (error: AshlarError): void => {
      queue.delete(source, waiting);
      granted.reject(error);
    };
    const timer = this.#clock.after(Math.min(waitMsMax, WAIT_MS_MAX), () => end(this.#refusal()));
    const unlisten = listenToAbort(signal, () => end(signal.reason));
    try {
      return await granted.promise;
    } finally {
      timer.cancel();
      unlisten();
    }
  }

  /** Resolves when no write is in progress. */
  idle(): Promise<void> {
    if (this.#admitted.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onIdle.push(resolve);
    });
  }

  #queueOf(request: AdmissionRequest): FairQueue<Waiting> {
    return present(this.#queues[classOf(request)], "each class has a queue");
  }

  #tryAdmit(request: AdmissionRequest): Admitted | null {
    const isFirst = this.#queueOf(request).size === 0;
    return isFirst && this.#hasRoomFor(request) ? this.#add(request) : null;
  }

  #hasRoomFor(request: AdmissionRequest): boolean {
    const bytes = bytesOf(request);
    let sumBytes = bytes + sumOf(this.#bytes.slice(classOf(request) + 1));
    for (let hops = classOf(request); hops >= 0; hops -= 1) {
      sumBytes += present(this.#bytes[hops], "each class has a sum");
      if (sumBytes > present(this.#limits[hops], "each class has a limit")) return false;
    }
    return true;
  }

  #add(request: AdmissionRequest): Admitted {
    const hops = classOf(request);
    const bytes = bytesOf(request);
    const change = (difference: number): void => {
      this.#bytes[hops] = present(this.#bytes[hops], "each class has a sum") + difference;
    };
    const admitted: Admitted = new Admitted(() => {
      assert(this.#admitted.delete(admitted), "a write is released once");
      change(-bytes);
      this.#serve();
      if (this.#admitted.size === 0) for (const wake of this.#onIdle.splice(0)) wake();
    });
    change(bytes);
    this.#admitted.add(admitted);
    return admitted;
  }

  /** Admits the writes that wait, as far as there is memory. The classes are served in turn. */
  #serve(): void {
    let emptyCount = 0;
    while (emptyCount < CLASSES.length) {
      const queue = this.#queues[this.#nextClass];
      this.#nextClass = (this.#nextClass + 1) % CLASSES.length;
      const next = queue?.peek();
      if (next === undefined || !this.#hasRoomFor(next.request)) {
        emptyCount += 1;
        continue;
      }
      queue?.shift();
      next.grant(this.#add(next.request));
      emptyCount = 0;
    }
  }

  /** While writes wait: revokes as many idle writes as writes wait. */
  #searchIdle(): void {
    if (this.#isSearching) return;
    this.#isSearching = true;
    this.#clock.after(SEARCH_MS, () => {
      this.#isSearching = false;
      if (this.waitingCount === 0) return;
      const nowMs = this.#clock.monotonicMs();
      const idle = [...this.#admitted].filter((write) => write.idleMs(nowMs) >= IDLE_MS_MAX);
      for (const write of idle.slice(0, this.waitingCount)) write.revoke();
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

/** The classes of writes: the numbers of hops. */
const CLASSES: readonly number[] = Array.from({ length: HOPS_MAX + 1 }, (_, hops) => hops);

/**
 * Returns the memory for all writes with at least so many hops. For three copies, each position of a
 * chain has a third: then servers that are first, second and third equally often admit the same number of
 * writes at each position, and few admitted writes wait for the next server.
 */
function limitOf(hops: number, bytesMax: number): number {
  const ofThree =
    hops < 3 ? (bytesMax * (3 - hops)) / 3 : bytesMax / 3 - (hops - 2) * WRITE_BYTES_MAX;
  return Math.max(ofThree, (CLASSES.length - hops) * WRITE_BYTES_MAX);
}

function classOf({ hopsAfter }: AdmissionRequest): number {
  return Math.min(hopsAfter, HOPS_MAX);
}

/** A write that waits. */
interface Waiting {
  readonly request: AdmissionRequest;
  readonly grant: (write: Admitted) => void;
}

class Admitted implements AdmittedWrite {
  receivedWhileWaiting: () => number | null = () => null;
  readonly release: () => void;
  readonly #revoked = new Deferred<never>();
  /**
   * Time and received bytes at which the writer last seemed to be active. Null while the write waits for this
   * server and not for its writer.
   */
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
