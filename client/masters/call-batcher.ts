import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { Clock, Timer } from "../../shared/ports/clock.ts";
import type { CallMethod } from "../../shared/protocol/method.ts";
import type { LeaderChannel } from "../../shared/wire/leader-channel.ts";
import { causeOf } from "../deadline.ts";

/** With twice as many callers two calls are under way: this end and the other work at the same time. */
export const BATCH_ITEMS_MAX = 32;
/** What is larger travels alone. */
export const BATCH_BYTES_MAX = 128 * 1024;
/** A call is sent when nothing has joined it for so many turns of the microtask queue. */
const QUIET_TURNS = 3;
const GATHER_TURNS_MAX = 16;
/** Deadlines closer together than this are one. */
const DEADLINE_GRANULARITY_MS = 5;

export interface BatchOptions<Item, Result, Request, Response> {
  readonly clock: Clock;
  readonly channel: Pick<LeaderChannel, "callParts">;
  readonly method: CallMethod<Request, Response>;
  /** Asked anew for every attempt. */
  readonly requestOf: (items: readonly Item[]) => Request;
  /** One for each item, in their order. */
  readonly resultsOf: (response: Response) => readonly (Result | AshlarError)[];
  /** About what the item takes of the message, in bytes. */
  readonly sizeOf: (item: Item) => number;
}

export interface ItemOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Gathers what is asked in one turn into calls of several items: the frame, the deadline and the leave
 * to read are then paid once for all of them.
 *
 * Nothing waits for company: a call is sent when the turn that asked has run its course. Each item
 * has its own deadline, signal and error.
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

  /** @throws {AshlarError} what the masters say of this item; DEADLINE_EXCEEDED, CANCELLED */
  submit(item: Item, options: ItemOptions): Promise<Result> {
    return new Promise((resolve, reject) => {
      const { clock, method } = this.#options;
      const { timeoutMs, signal } = options;
      const endsAtMs = clock.monotonicMs() + timeoutMs;
      const { name } = method;
      this.#add(new PendingItem({ item, name, timeoutMs, endsAtMs, signal, resolve, reject }));
    });
  }

  #add(waiting: PendingItem<Item, Result>): void {
    const bytes = this.#options.sizeOf(waiting.item);
    if (this.#gatheredBytes + bytes > BATCH_BYTES_MAX) this.#send();
    this.#gathered.push(waiting);
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
    // No rejection can come, but for a bug in what is sent.
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
  /** Of the method. */
  readonly name: string;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/** One caller's item. It is settled once. */
class PendingItem<Item, Result> {
  readonly item: Item;
  readonly endsAtMs: number;
  isSettled = false;
  /** Its caller waits no longer, though it was not answered. */
  onAbandoned: (() => void) | null = null;
  readonly #options: PendingItemOptions<Item, Result>;
  readonly #onAbort: (() => void) | null = null;
  #timer: Timer | null = null;

  constructor(options: PendingItemOptions<Item, Result>) {
    this.item = options.item;
    this.endsAtMs = options.endsAtMs;
    this.#options = options;
    const { signal, name } = options;
    if (signal === undefined) return;
    this.#onAbort = () => {
      const text = `The call of ${name} was cancelled`;
      this.#abandon(new AshlarError("CANCELLED", text, { cause: signal.reason }));
    };
    if (signal.aborted) this.#onAbort();
    else signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  get hasSignal(): boolean {
    return this.#onAbort !== null;
  }

  resolve(result: Result): void {
    if (this.isSettled) return;
    this.#end();
    this.#options.resolve(result);
  }

  reject(error: unknown): void {
    if (this.isSettled) return;
    this.#end();
    this.#options.reject(causeOf(error, this.#options.signal));
  }

  /** Its time is over before that of the call that it travels with. */
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

  #end(): void {
    this.isSettled = true;
    this.#timer?.cancel();
    if (this.#onAbort !== null) this.#options.signal?.removeEventListener("abort", this.#onAbort);
  }
}

function sendBatch<Item, Result, Request, Response>(
  options: BatchOptions<Item, Result, Request, Response>,
  gathered: readonly PendingItem<Item, Result>[],
): void {
  const wanted = gathered.filter(isPending);
  if (wanted.length > 0) new Batch(options, wanted).send();
}

/** Items that travel together. */
class Batch<Item, Result, Request, Response> {
  readonly #options: BatchOptions<Item, Result, Request, Response>;
  /** Not settled when the last attempt began: what it asked for, in order. */
  #pending: readonly PendingItem<Item, Result>[];

  constructor(
    options: BatchOptions<Item, Result, Request, Response>,
    wanted: readonly PendingItem<Item, Result>[],
  ) {
    this.#options = options;
    this.#pending = wanted;
  }

  send(): void {
    const { clock, channel, method } = this.#options;
    let endsAtMs = Number.NEGATIVE_INFINITY;
    for (const waiting of this.#pending) endsAtMs = Math.max(endsAtMs, waiting.endsAtMs);
    const signal = this.#watch(endsAtMs);
    const parts = { request: () => this.#request(), onResponse: this.#onResponse };
    const timeoutMs = endsAtMs - clock.monotonicMs();
    channel
      .callParts(method, parts, signal === null ? { timeoutMs } : { timeoutMs, signal })
      .then(undefined, (error: unknown) => this.#fail(error));
  }

  /** The signal that ends the call when nobody waits for it any more; null if all wait to the end. */
  #watch(endsAtMs: number): AbortSignal | null {
    const { clock } = this.#options;
    let controller: AbortController | null = null;
    for (const waiting of this.#pending) {
      const isEarly = waiting.endsAtMs < endsAtMs - DEADLINE_GRANULARITY_MS;
      if (isEarly) waiting.startTimer(clock);
      if (!isEarly && !waiting.hasSignal) continue;
      controller ??= new AbortController();
      const { signal } = controller;
      const abandon = (): void => {
        if (!signal.aborted && !this.#pending.some(isPending)) controller?.abort();
      };
      waiting.onAbandoned = abandon;
    }
    return controller === null ? null : controller.signal;
  }

  #request(): Request {
    this.#pending = this.#pending.filter(isPending);
    return this.#options.requestOf(this.#pending.map((waiting) => waiting.item));
  }

  /** Settles all in one go: their callers run in step, and what they ask next is gathered again. */
  readonly #onResponse = (response: Response): AshlarError | null => {
    const { method, resultsOf } = this.#options;
    const results = resultsOf(response);
    if (results.length !== this.#pending.length) {
      const text = `Cannot read the response of ${method.name}: expected ${this.#pending.length} results: it has ${results.length}`;
      throw new AshlarError("PROTOCOL_ERROR", text);
    }
    let again: AshlarError | null = null;
    for (let at = 0; at < results.length; at += 1) {
      const waiting = this.#pending[at] as PendingItem<Item, Result>;
      const result = results[at] as Result | AshlarError;
      if (!(result instanceof AshlarError)) waiting.resolve(result);
      else if (result.retry === "never") waiting.reject(result);
      else if (!waiting.isSettled) again = mostUncertain(again, result);
    }
    return again;
  };

  #fail(error: unknown): void {
    const wanted = this.#pending.filter(isPending);
    const isForGood = !isAshlarError(error) || error.retry === "never";
    // One of them may be to blame: the others must not suffer for it.
    if (isForGood && wanted.length > 1) for (const each of wanted) sendBatch(this.#options, [each]);
    else for (const each of wanted) each.reject(error);
  }
}

function isPending(waiting: { readonly isSettled: boolean }): boolean {
  return !waiting.isSettled;
}

/** Of two attempts that failed: the one that may have had its effect must not be forgotten. */
function mostUncertain(before: AshlarError | null, error: AshlarError): AshlarError {
  return before?.retry === "idempotent-only" ? before : error;
}
