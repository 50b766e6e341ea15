import type { AshlarError } from "../../shared/base/errors.ts";
import type { CallWatch } from "../../shared/wire/call-watch.ts";
import type { MastersProbe } from "../masters/probe-masters.ts";
import { waitReason } from "../masters/probe-text.ts";
import { type ClusterOrigin, unservable } from "./masters-report.ts";

const TICK_MS = 250;
/** The masters are probed when a call has had no answer for this long, and again after this time. */
const PROBE_AFTER_MS = 750;
/** Limit of one probe. The first result comes at the latest after the sum of both: below 2 s. */
const PROBE_TIMEOUT_MS = 900;
/** A call that takes longer is what the command waits for. */
const NAMED_AFTER_MS = 1_000;
/** Any master answers this method, also without a leader. */
const METHOD_OF_ANY_MASTER = "fleet.member-status";

/** Dependencies of a `MastersWatch`. */
export interface MastersWatchDeps {
  readonly cluster: ClusterOrigin;
  /** Asks every master for its state, within about this many milliseconds. */
  readonly probe: (timeoutMs: number) => Promise<MastersProbe>;
  /** Ends the command. */
  readonly fail: (error: AshlarError) => void;
}

/**
 * Watches the calls of a command to the masters. A call without an answer is what a `WaitLine` shows.
 * Until the cluster has answered the command for the first time, the command also ends early: at once
 * if all masters refuse the connection, within 2 s without a majority, and after `SILENCE_MS_MIN` if
 * silent masters could complete a majority. Afterwards calls are retried until their timeout: a long
 * transfer must survive a restart.
 */
export class MastersWatch implements CallWatch, Disposable {
  readonly #deps: MastersWatchDeps;
  /** Start times of the calls in progress, oldest first. */
  readonly #pending = new Map<symbol, number>();
  #timer: NodeJS.Timeout | null = null;
  #isServed = false;
  #isProbing = false;
  #nextProbeMs = 0;
  #lastProbe: MastersProbe | null = null;

  constructor(deps: MastersWatchDeps) {
    this.#deps = deps;
  }

  begin(method: string): (isAnswered: boolean) => void {
    const call = Symbol(method);
    this.#pending.set(call, performance.now());
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS);
    return (isAnswered) => {
      this.#pending.delete(call);
      if (isAnswered && method !== METHOD_OF_ANY_MASTER && method !== "connect") {
        this.#isServed = true;
      }
      if (this.#pending.size === 0) this.#rest();
    };
  }

  retried(): void {
    if (!this.#isServed && this.#lastProbe === null) this.#probe();
  }

  /** Lets the command, or its next attempt, end early again: as if no master had answered yet. */
  forgetAnswers(): void {
    this.#isServed = false;
  }

  [Symbol.dispose](): void {
    this.#rest();
  }

  /** Stops the timer: no call waits. */
  #rest(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#lastProbe = null;
  }

  /** Returns what the command waits for, as "the masters for 2 s: no answer"; null if it does not. */
  waitText(): string | null {
    const waitedMs = this.#waitedMs;
    if (waitedMs < NAMED_AFTER_MS) return null;
    return `the masters for ${Math.round(waitedMs / 1_000)} s: ${waitReason(this.#lastProbe)}`;
  }

  /** Time for which the oldest call has no answer. */
  get #waitedMs(): number {
    const nowMs = performance.now();
    const [oldestMs = nowMs] = this.#pending.values();
    return nowMs - oldestMs;
  }

  #tick(): void {
    if (this.#waitedMs >= PROBE_AFTER_MS) this.#probe();
  }

  #probe(): void {
    if (this.#isProbing || performance.now() < this.#nextProbeMs) return;
    this.#isProbing = true;
    this.#deps
      .probe(PROBE_TIMEOUT_MS)
      .then((probe) => this.#onProbed(probe))
      .catch(() => {}) // The call that waits reports its own error.
      .finally(() => {
        this.#isProbing = false;
        this.#nextProbeMs = performance.now() + PROBE_AFTER_MS;
      });
  }

  #onProbed(probe: MastersProbe): void {
    if (this.#pending.size === 0) return; // The call was answered meanwhile.
    this.#lastProbe = probe;
    const error = this.#isServed ? null : unservable(probe, this.#deps.cluster, this.#waitedMs);
    if (error !== null) this.#deps.fail(error);
  }
}
