import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import { listenToAbort } from "../../shared/flow/abort-listeners.ts";
import type { Clock, Timer } from "../../shared/ports/clock.ts";
import type { CallMethod } from "../../shared/protocol/method.ts";
import type { LeaderChannel } from "../../shared/wire/leader-channel.ts";
import { causeOf } from "../deadline.ts";

/**
 * With twice as many concurrent callers, two calls are in flight, so that client and master work at
 * the same time.
 */
export const BATCH_ITEMS_MAX = 32;
/** A larger item is sent in a call of its own. */
export const BATCH_BYTES_MAX = 128 * 1024;
/** A batch is sent after this many turns of the microtask queue without a new item. */
const QUIET_TURNS = 3;
/** A batch is sent at the latest after this many turns. */
const GATHER_TURNS_MAX = 16;
/**
 * Deadlines that differ by less than this many ms count as equal: they need no timers of their own.
 */
const DEADLINE_GRANULARITY_MS = 5;

/** Options of a `CallBatcher`. */
export interface BatchOptions<Item, Result, Request, Response> {
  readonly clock: Clock;
  readonly channel: Pick<LeaderChannel, "callParts">;
  readonly method: CallMethod<Request, Response>;
  /** Builds the request. Called for every attempt. */
  readonly requestOf: (items: readonly Item[]) => Request;
  /** Returns one result or error per item, in the order of the request. */
  readonly resultsOf: (response: Response) => readonly (Result | AshlarError)[];
  /** Estimated size of the item in the request, in bytes. */
  readonly sizeOf: (item: Item) => number;
}

/** Limits of one item. */
export interface ItemOptions {
  /** Timeout of the item, with all attempts. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Called after an attempt with this item that may have taken effect. */
  readonly onUncertain?: (() => void) | undefined;
}

/**
 * Combines the items submitted in one turn of the event loop into one call. The costs of the frame,
 * the deadline and the read-index check are then paid once for all items.
 *
 * Items are never delayed by timers: a call is sent at the end of the turn. Each item has its own
 * deadline, abort signal and error.
 */
export class CallBatcher<Item, Result, Request, Response> {
  readonly #options: BatchOptions<Item, Result, Request, Response>;
  #gathered: PendingItem<Item, Result>[] = [];
  #gatheredBytes = 0;
  #isGathering = false;
  #turns = 0;
  #quietTurns = 0;

  constructor(options: BatchOptions<Item, Result, Request, Response>) {
    this.#options = options;
  }

  /**
   * Resolves with the result of `item`.
   *
   * @throws {AshlarError} the error of this item from the masters; DEADLINE_EXCEEDED, CANCELLED.
   */
  submit(item: Item, options: ItemOptions): Promise<Result> {
    return new Promise((resolve, reject) => {
      const { clock, method } = this.#options;
      const endsAtMs = clock.monotonicMs() + options.timeoutMs;
      const { name } = method;
      this.#add(new PendingItem({ ...options, item, name, endsAtMs, resolve, reject }));
    });
  }

  #add(pending: PendingItem<Item, Result>): void {
    const bytes = this.#options.sizeOf(pending.item);
    if (this.#gatheredBytes + bytes > BATCH_BYTES_MAX) this.#send();
    this.#gathered.push(pending);
    this.#gatheredBytes += bytes;
    if (this.#gathered.length === BATCH_ITEMS_MAX || this.#gatheredBytes > BATCH_BYTES_MAX) {
      this.#send();
      return;
    }
    this.#quietTurns = 0;
    if (this.#isGathering) return;
    this.#isGathering = true;
    this.#turns = 0;
    this.#nextTurn();
  }

  #nextTurn(): void {
    // `#afterTurn` does not reject. The empty handler satisfies the lint.
    Promise.resolve().then(this.#afterTurn, () => {});
  }

  readonly #afterTurn = (): void => {
    this.#turns += 1;
    this.#quietTurns += 1;
    if (this.#quietTurns < QUIET_TURNS && this.#turns < GATHER_TURNS_MAX) {
      this.#nextTurn();
      return;
    }
    this.#isGathering = false;
    this.#send();
  };

  #send(): void {
    const gathered = this.#gathered;
    this.#gathered = [];
    this.#gatheredBytes = 0;
    sendBatch(this.#options, gathered);
  }
}

interface PendingItemOptions<Item, Result> extends ItemOptions {
  readonly item: Item;
  readonly endsAtMs: number;
  /** Name of the method, for messages. */
  readonly name: string;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/** An item whose caller waits. It is settled exactly once. */
class PendingItem<Item, Result> {
  readonly item: Item;
  readonly endsAtMs: number;
  isSettled = false;
  /** Called when the item is cancelled or times out. */
  onAbandoned: (() => void) | null = null;
  readonly #options: PendingItemOptions<Item, Result>;
  readonly #unlisten: (() => void) | null = null;
  #timer: Timer | null = null;

  constructor(options: PendingItemOptions<Item, Result>) {
    this.item = options.item;
    this.endsAtMs = options.endsAtMs;
    this.#options = options;
    const { signal, name } = options;
    if (signal === undefined) return;
    const onAbort = (): void => {
      const text = `The call of ${name} was cancelled`;
      this.#abandon(new AshlarError("CANCELLED", text, { cause: signal.reason }));
    };
    this.#unlisten = listenToAbort(signal, onAbort);
    if (signal.aborted) onAbort();
  }

  get hasSignal(): boolean {
    return this.#unlisten !== null;
  }

  /** Notes that an attempt with this item may have taken effect. */
  noteUncertain(): void {
    if (!this.isSettled) this.#options.onUncertain?.();
  }

  resolve(result: Result): void {
    if (this.isSettled) return;
    this.#settle();
    this.#options.resolve(result);
  }

  reject(error: unknown): void {
    if (this.isSettled) return;
    this.#settle();
    this.#options.reject(causeOf(error, this.#options.signal));
  }

  /** Starts a timer of its own, for an item whose deadline is earlier than that of the call. */
  startTimer(clock: Clock): void {
    const { name, timeoutMs } = this.#options;
    const text = `No answer to ${name} within ${Math.round(timeoutMs)} ms`;
    const leftMs = Math.max(0, this.endsAtMs - clock.monotonicMs());
    this.#timer ??= clock.after(leftMs, () =>
      this.#abandon(new AshlarError("DEADLINE_EXCEEDED", text)),
    );
  }

  #abandon(error: AshlarError): void {
    this.reject(error);
    this.onAbandoned?.();
  }

  #settle(): void {
    this.isSettled = true;
    this.#timer?.cancel();
    this.#unlisten?.();
  }
}

function sendBatch<Item, Result, Request, Response>(
  options: BatchOptions<Item, Result, Request, Response>,
  gathered: readonly PendingItem<Item, Result>[],
): void {
  const pending = gathered.filter(isPending);
  if (pending.length > 0) new Batch(options, pending).send();
}

/** The items of one call. */
class Batch<Item, Result, Request, Response> {
  readonly #options: BatchOptions<Item, Result, Request, Response>;
  /** Items of the last attempt, in the order of its request. */
  #pending: readonly PendingItem<Item, Result>[];

  constructor(
    options: BatchOptions<Item, Result, Request, Response>,
    pending: readonly PendingItem<Item, Result>[],
  ) {
    this.#options = options;
    this.#pending = pending;
  }

  send(): void {
    const { clock, channel, method } = this.#options;
    let endsAtMs = Number.NEGATIVE_INFINITY;
    for (const each of this.#pending) endsAtMs = Math.max(endsAtMs, each.endsAtMs);
    const signal = this.#watch(endsAtMs);
    const parts = { request: () => this.#request(), onResponse: this.#onResponse };
    const timeoutMs = endsAtMs - clock.monotonicMs();
    const onUncertain = (): void => {
      for (const each of this.#pending) each.noteUncertain();
    };
    const call = { timeoutMs, onUncertain, ...(signal === null ? {} : { signal }) };
    channel.callParts(method, parts, call).then(undefined, (error: unknown) => this.#fail(error));
  }

  /**
   * Returns a signal that aborts the call when no caller waits for it. Null if no item can be
   * abandoned before the deadline of the call.
   */
  #watch(endsAtMs: number): AbortSignal | null {
    const { clock } = this.#options;
    let controller: AbortController | null = null;
    for (const each of this.#pending) {
      const isEarly = each.endsAtMs < endsAtMs - DEADLINE_GRANULARITY_MS;
      if (isEarly) each.startTimer(clock);
      if (!isEarly && !each.hasSignal) continue;
      controller ??= new AbortController();
      const { signal } = controller;
      const abandon = (): void => {
        if (!signal.aborted && !this.#pending.some(isPending)) controller?.abort();
      };
      each.onAbandoned = abandon;
    }
    return controller === null ? null : controller.signal;
  }

  #request(): Request {
    this.#pending = this.#pending.filter(isPending);
    return this.#options.requestOf(this.#pending.map((each) => each.item));
  }

  /**
   * Settles all items in one turn: the next items of their callers are then combined again. Returns
   * the error to retry with if some items must be requested again.
   */
  readonly #onResponse = (response: Response): AshlarError | null => {
    const { method, resultsOf } = this.#options;
    const results = resultsOf(response);
    if (results.length !== this.#pending.length) {
      const text = `Cannot read the response of ${method.name}: expected ${this.#pending.length} results: it has ${results.length}`;
      throw new AshlarError("PROTOCOL_ERROR", text);
    }
    let retryError: AshlarError | null = null;
    for (let index = 0; index < results.length; index += 1) {
      const pending = this.#pending[index] as PendingItem<Item, Result>;
      const result = results[index] as Result | AshlarError;
      if (!(result instanceof AshlarError)) pending.resolve(result);
      else if (result.retry === "never") pending.reject(result);
      else if (!pending.isSettled) retryError = mostUncertain(retryError, result);
    }
    return retryError;
  };

  #fail(error: unknown): void {
    const pending = this.#pending.filter(isPending);
    const isFinal = !isAshlarError(error) || error.retry === "never";
    // One item may have caused the error, for example an invalid one: each is sent again alone.
    if (isFinal && pending.length > 1) for (const each of pending) sendBatch(this.#options, [each]);
    else for (const each of pending) each.reject(error);
  }
}

function isPending(item: { readonly isSettled: boolean }): boolean {
  return !item.isSettled;
}

/**
 * Returns the error of two failed attempts that the caller must learn. An attempt that may have
 * been committed outweighs one that was not.
 */
function mostUncertain(before: AshlarError | null, error: AshlarError): AshlarError {
  return before?.retry === "idempotent-only" ? before : error;
}
