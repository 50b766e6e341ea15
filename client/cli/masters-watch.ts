import type { AshlarError } from "../../shared/base/errors.ts";
import { formatCount } from "../../shared/display/format.ts";
import type { CallWatch } from "../../shared/wire/call-watch.ts";
import type { MastersProbe } from "../masters/probe-masters.ts";
import { type ClusterOrigin, majorityText, unservable } from "./masters-report.ts";
import type { Output } from "./output.ts";

const TICK_MS = 250;
/** The masters are probed when a call has had no answer for this long, and again after this time. */
const PROBE_AFTER_MS = 750;
/** Limit of one probe. The first verdict comes at the latest after the sum of both: below 2 s. */
const PROBE_TIMEOUT_MS = 900;
/** A terminal says what is waited for after this time. */
const SHOW_AFTER_MS = 1_750;
/** Any master answers this method, also without a leader. */
const METHOD_OF_ANY_MASTER = "fleet.member-status";

/** Dependencies of a `MastersWatch`. */
export interface MastersWatchDeps {
  readonly output: Pick<Output, "showWait" | "clearWait">;
  readonly cluster: ClusterOrigin;
  /** Asks every master for its state, within about this many milliseconds. */
  readonly probe: (timeoutMs: number) => Promise<MastersProbe>;
  /** Ends the command. */
  readonly fail: (error: AshlarError) => void;
}

/**
 * Watches the calls of a command to the masters. While a call has no answer, a terminal says so.
 * Until the cluster has answered the command for the first time, the command also ends at once if
 * all masters refuse the connection, and within 2 s if a majority of them does not answer.
 * Afterwards calls are retried until their timeout: a long transfer must survive a restart.
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

  [Symbol.dispose](): void {
    this.#rest();
  }

  /** Stops the timer: no call waits. */
  #rest(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#lastProbe = null;
    this.#deps.output.clearWait();
  }

  #tick(): void {
    const [oldestMs = performance.now()] = this.#pending.values();
    const waitedMs = performance.now() - oldestMs;
    if (waitedMs >= PROBE_AFTER_MS) this.#probe();
    if (waitedMs >= SHOW_AFTER_MS) this.#deps.output.showWait(this.#text(waitedMs));
    else this.#deps.output.clearWait();
  }

  #text(waitedMs: number): string {
    const seconds = Math.round(waitedMs / 1_000);
    return `ashlar: waiting for the masters for ${seconds} s: ${waitReason(this.#lastProbe)}`;
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
    const error = this.#isServed ? null : unservable(probe, this.#deps.cluster);
    if (error !== null) this.#deps.fail(error);
  }
}

/** Returns why the masters have not answered yet, as far as a probe shows it. */
function waitReason(probe: MastersProbe | null): string {
  if (probe === null) return "no answer";
  const { masters, voterCount, answeredCount, hasNoMajority, isAllRefused } = probe;
  if (isAllRefused) return "all of them refuse the connection";
  if (hasNoMajority) return majorityText(answeredCount, voterCount);
  const leader = masters.find(({ answer }) => answer?.role === "leader");
  const learners = masters.filter(({ isVoter }) => !isVoter);
  const answering = learners.filter(({ answer }) => answer !== null).length;
  const voters = `${answeredCount} of ${voterCount}`;
  const counts =
    learners.length === 0
      ? `${voters} answer`
      : `${voters} and ${answering} of ${formatCount(learners.length, "learner")} answer`;
  return leader === undefined
    ? `${counts}, no leader yet`
    : `${counts}, the leader is ${leader.address}`;
}
