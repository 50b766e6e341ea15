import { AshlarError } from "../../shared/base/errors.ts";
import type { Clock } from "../../shared/ports/clock.ts";

/** A slot can be taken from a download whose client has accepted no bytes for this time. */
const IDLE_MS_MIN = 250;
/** A slot can be taken from a download that had it for this time, when it waits for its client. */
const TURN_MS = 1_000;
/** Most requests of one client that wait for a slot. */
const WAITERS_PER_CLIENT_MAX = 64;
const POLL_INTERVAL_MS = 50;

/** Direction of a body, seen from the gateway. */
export type TransferDirection = "in" | "out";

/** Limits of `TransferSlots`. */
export interface TransferLimits {
  /** Most slots. */
  readonly max: number;
  /** Most slots of one client. */
  readonly perClientMax: number;
  /** Time that a request waits for a slot before it is refused. */
  readonly waitMsMax: number;
}

interface Waiter {
  readonly slot: TransferSlot;
  readonly grant: () => void;
}

/**
 * Slots for bodies in transfer. A transfer in progress holds buffers, so their number is bounded, in
 * total and for each client.
 *
 * A download that waits for its client can lose its slot to a request that waits for one. It then
 * holds no buffers, and continues when it has a slot again. So clients that read slowly do not stop
 * others. An upload cannot be interrupted: uploads have at most three quarters of the slots.
 */
export class TransferSlots {
  readonly #limits: TransferLimits;
  readonly #clock: Clock;
  readonly #holders = new Set<TransferSlot>();
  readonly #waiters = new Set<Waiter>();
  #isPolling = false;

  constructor(limits: TransferLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  /** Number of slots in use. */
  get used(): number {
    return this.#holders.size;
  }

  /** Returns whether a new client would get a slot for each direction at once. */
  get hasFree(): boolean {
    const isFree = (direction: TransferDirection): boolean => {
      const candidate = new TransferSlot(this, this.#clock, { client: "", direction });
      return this.#placeFor(candidate) !== null;
    };
    return isFree("out") && isFree("in");
  }

  /**
   * Resolves with a slot. Waits a short time for one.
   *
   * @throws {AshlarError} OVERLOADED if no slot was free within the maximum wait; `details.limit` is
   *   "client" if the limit of the client was the reason
   */
  async acquire(
    transfer: { readonly client: string; readonly direction: TransferDirection },
    signal: AbortSignal,
  ): Promise<TransferSlot> {
    const slot = new TransferSlot(this, this.#clock, transfer);
    await this.take(slot, { signal, waitMsMax: this.#limits.waitMsMax });
    return slot;
  }

  /** Gives a place to `slot`. @throws {AshlarError} OVERLOADED; the reason of `signal` */
  async take(
    slot: TransferSlot,
    options: { readonly signal: AbortSignal; readonly waitMsMax: number },
  ): Promise<void> {
    const { signal, waitMsMax } = options;
    signal.throwIfAborted();
    if (this.#waiters.size === 0 && this.#enter(slot)) return;
    const waiting = [...this.#waiters].filter((waiter) => waiter.slot.client === slot.client);
    // A transfer that has begun is not refused: its connection bounds their number.
    const isNew = Number.isFinite(waitMsMax);
    if (isNew && waiting.length >= WAITERS_PER_CLIENT_MAX) throw this.#refusal(slot);
    const stop = new AbortController();
    const granted = new Promise<void>((grant) => {
      this.#waiters.add({ slot, grant });
    });
    this.#poll();
    try {
      const expired = this.#clock
        .sleep(waitMsMax, AbortSignal.any([stop.signal, signal]))
        .then(() => "expired");
      const result = await Promise.race([granted, expired]);
      if (result === "expired") throw this.#refusal(slot);
      signal.throwIfAborted(); // The request can end in the turn in which it gets the place.
    } catch (error) {
      this.leave(slot);
      signal.throwIfAborted();
      throw error;
    } finally {
      stop.abort();
      for (const waiter of this.#waiters) if (waiter.slot === slot) this.#waiters.delete(waiter);
    }
  }

  /** Frees the place of `slot`. */
  leave(slot: TransferSlot): void {
    if (this.#holders.delete(slot)) this.#serveWaiters();
  }

  #enter(slot: TransferSlot): boolean {
    const place = this.#placeFor(slot);
    if (place === null) return false;
    if (place !== "free") {
      this.#holders.delete(place);
      place.lose();
    }
    this.#holders.add(slot);
    return true;
  }

  /** Returns "free", the slot that must make room, or null if there is no place. */
  #placeFor({ client, direction }: TransferSlot): "free" | TransferSlot | null {
    const { max, perClientMax } = this.#limits;
    const holders = [...this.#holders];
    const uploadsMax = Math.max(1, Math.floor((max * 3) / 4));
    const uploadCount = holders.filter((holder) => holder.direction === "in").length;
    if (direction === "in" && uploadCount >= uploadsMax) return null;
    const own = holders.filter((holder) => holder.client === client);
    if (own.length >= perClientMax) return longestIdle(own);
    return holders.length < max ? "free" : longestIdle(holders);
  }

  /** Serves waiters in their order. One that waits for the limit of its client delays no other. */
  #serveWaiters(): void {
    for (const waiter of this.#waiters) {
      if (!this.#enter(waiter.slot)) continue;
      this.#waiters.delete(waiter);
      waiter.grant();
    }
  }

  /** Serves waiters until there are none: a slot can be taken only after a time. */
  #poll(): void {
    if (this.#isPolling || this.#waiters.size === 0) return;
    this.#isPolling = true;
    this.#clock.after(POLL_INTERVAL_MS, () => {
      this.#isPolling = false;
      this.#serveWaiters();
      this.#poll();
    });
  }

  #refusal({ client }: TransferSlot): AshlarError {
    const { max, perClientMax } = this.#limits;
    const own = [...this.#holders].filter((holder) => holder.client === client);
    const isOwnLimit = own.length >= perClientMax && perClientMax < max;
    const limit = isOwnLimit ? `${perClientMax} of this client` : String(max);
    return new AshlarError(
      "OVERLOADED",
      `Cannot begin another transfer: expected fewer than ${limit} in progress`,
      {
        hint: isOwnLimit
          ? "Retry later; transfersPerClientMax of the gateway sets the limit"
          : "Retry later; transfersMax of the gateway sets the limit",
        details: { limit: isOwnLimit ? "client" : "total" },
      },
    );
  }
}

/** The place of one transfer among the slots, which a download can lose and get again. */
export class TransferSlot {
  readonly client: string;
  readonly direction: TransferDirection;
  readonly #slots: TransferSlots;
  readonly #clock: Clock;
  #sinceMs: number;
  #idle: { readonly sinceMs: number; readonly onLost: () => void } | null = null;
  #isLost = false;

  constructor(
    slots: TransferSlots,
    clock: Clock,
    transfer: { readonly client: string; readonly direction: TransferDirection },
  ) {
    this.#slots = slots;
    this.#clock = clock;
    this.client = transfer.client;
    this.direction = transfer.direction;
    this.#sinceMs = clock.monotonicMs();
  }

  /** Time for which the slot could be taken; negative if it cannot be taken now. */
  get takeableMs(): number {
    if (this.#idle === null) return -1;
    const nowMs = this.#clock.monotonicMs();
    const idleMs = nowMs - this.#idle.sinceMs - IDLE_MS_MIN;
    return Math.max(idleMs, nowMs - this.#sinceMs - TURN_MS);
  }

  /**
   * Reports that the transfer waits for its client. If the slot is lost, `onLost` is called once: it
   * must release all buffers.
   */
  beginIdle(onLost: () => void): void {
    if (!this.#isLost) this.#idle = { sinceMs: this.#clock.monotonicMs(), onLost };
  }

  /** Reports that the client has accepted all bytes. Returns whether the slot is still held. */
  endIdle(): boolean {
    this.#idle = null;
    return !this.#isLost;
  }

  /** Resolves when the slot is held, again if it was lost. */
  async hold(signal: AbortSignal): Promise<void> {
    if (!this.#isLost) return;
    // Without a limit: the stall timeout of the request ends the wait.
    await this.#slots.take(this, { signal, waitMsMax: Number.POSITIVE_INFINITY });
    this.#isLost = false;
    this.#sinceMs = this.#clock.monotonicMs();
  }

  /** Called by `TransferSlots` when another transfer takes the place. */
  lose(): void {
    const onLost = this.#idle?.onLost;
    this.#idle = null;
    this.#isLost = true;
    onLost?.();
  }

  /** Ends the transfer. */
  release(): void {
    this.#idle = null;
    this.#slots.leave(this);
  }
}

function longestIdle(slots: readonly TransferSlot[]): TransferSlot | null {
  let longest: TransferSlot | null = null;
  for (const slot of slots) {
    if (slot.takeableMs >= Math.max(0, longest?.takeableMs ?? 0)) longest = slot;
  }
  return longest;
}
