import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { MemberId } from "../../shared/base/ids.ts";
import type { Env } from "../../shared/ports/env.ts";
import type { Consensus, MemberAddress } from "../consensus.ts";
import type { StepClock } from "../namespace/command.ts";
import { FEATURE_LEVEL_CLOCK_STEPS } from "../namespace/feature-levels.ts";
import { repeatStep } from "./repeat-step.ts";

/** Interval in which the leader asks the other masters for their clocks, in milliseconds. */
const POLL_MS = 5_000;
/** Interval in which every master notes the time of the state, in milliseconds. */
const OBSERVE_MS = 1_000;
/** Age after which a reading of a clock is not used, in milliseconds. */
const READING_AGE_MS_MAX = 30_000;
/** Time by which the clock may be corrected at once. It accrues while the clock is right. */
const CREDIT_MS_MAX = 1_000;
/**
 * Difference between the time of the state and the clocks of the masters above which a new leader
 * steps the time, and above which a leader logs it. A smaller one ends within as many milliseconds.
 */
const STEP_MS_MIN = 10_000;

/** Attempts to get the clocks of a majority before the first entry; then the own clock decides. */
const NEW_ATTEMPTS_MAX = 20;

/** Age after which the median is computed again, in milliseconds. */
const MEDIAN_AGE_MS_MAX = 100;
const NO_MEDIAN = { offsetMs: null, atMs: Number.NEGATIVE_INFINITY };

type Step = Pick<StepClock, "fromMs" | "toMs">;

/** Dependencies of a ClusterClock. */
export interface ClusterClockOptions {
  readonly env: Pick<Env, "clock" | "log">;
  readonly consensus: Pick<Consensus, "status" | "membership">;
  /** Returns the current state. */
  readonly state: () => { readonly clockMs: number; readonly featureLevel: number };
  /** Returns the wall clock of another master. Rejects after a short timeout. */
  readonly fetchWallMs: (member: MemberAddress) => Promise<number>;
}

/** The clock of a master, as a difference from the monotonic clock of this process. */
interface Reading {
  readonly offsetMs: number;
  /** Monotonic time of the reading. */
  readonly atMs: number;
}

/**
 * The clock with which a leader stamps entries: the median of the clocks of the voters. One wrong
 * clock, even that of the leader, does not move it (docs/decisions/0015).
 *
 * Invariants: it runs at between half and twice the rate of the monotonic clock, apart from
 * CREDIT_MS_MAX, and never goes back, except by a `step-clock` entry, which the retention does not
 * count. Until a majority of the voters has reported its clocks, it runs on from the last entry.
 */
export class ClusterClock implements AsyncDisposable {
  readonly #options: ClusterClockOptions;
  readonly #stop = new AbortController();
  readonly #readings = new Map<MemberId, Reading>();
  /** The last time that was given or found in the state, and the monotonic time of it. */
  #base = { stampMs: 0, atMs: 0 };
  /** The median of the clocks, as a `Reading`. Every entry needs it. */
  #median: { readonly offsetMs: number | null; readonly atMs: number } = NO_MEDIAN;
  #creditMs = CREDIT_MS_MAX;
  #seenStateMs = 0;
  #isStepping = false;
  #voterIds: readonly MemberId[] = [];
  #lastPollMs = Number.NEGATIVE_INFINITY;
  #hasLoggedGap = false;
  #newAttempts = 0;
  #running: Promise<void> = Promise.resolve();

  constructor(options: ClusterClockOptions) {
    this.#options = options;
  }

  /** Starts to observe the state and, on the leader, to ask the other masters. */
  start(): void {
    const name = "A comparison of the clocks";
    const loop = {
      env: this.#options.env,
      pauseMs: () => OBSERVE_MS,
      signal: this.#stop.signal,
      name,
    };
    this.#running = repeatStep(() => this.#compare(), loop);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error("The clock is stopping"));
    await this.#running;
  }

  /** Returns the time for an entry, in milliseconds since the epoch. */
  nowMs(): number {
    const { clock } = this.#options.env;
    this.#observe();
    const isLeader = this.#options.consensus.status().role === "leader";
    const { stampMs, atMs } = this.#base;
    if (!isLeader) return Math.floor(Math.max(stampMs, clock.wallMs()));
    const targetMs = this.#agreedMs();
    if (this.#isNew) return Math.floor(targetMs ?? clock.wallMs());
    const nowMs = clock.monotonicMs();
    const stamp = this.#slewed(stampMs, nowMs - atMs, targetMs);
    this.#base = { stampMs: stamp, atMs: nowMs };
    return Math.floor(stamp);
  }

  /** Asks the other voters for their clocks. Resolves when all have answered or timed out. */
  async refresh(): Promise<void> {
    const { consensus, env, fetchWallMs } = this.#options;
    const { memberId } = consensus.status();
    const voters = consensus.membership().members.filter(({ vote }) => vote !== "learner");
    this.#voterIds = voters.map(({ id }) => id);
    this.#lastPollMs = env.clock.monotonicMs();
    const ask = async (member: MemberAddress): Promise<void> => {
      const askedMs = env.clock.monotonicMs();
      try {
        const wallMs = await fetchWallMs(member);
        const atMs = env.clock.monotonicMs();
        // The clock was read at some time between the two: the error is half of it at most.
        this.#readings.set(member.id, { offsetMs: wallMs - (askedMs + atMs) / 2, atMs });
      } catch (error) {
        if (!isAshlarError(error)) throw error;
      }
    };
    await Promise.all(voters.filter(({ id }) => id !== memberId).map(ask));
    this.#median = NO_MEDIAN;
  }

  /**
   * Returns how far the clock of each voter is ahead of the median, in milliseconds. Null if a
   * majority has not reported its clocks.
   */
  skews(): ReadonlyMap<MemberId, number> | null {
    const agreedMs = this.#agreedMs();
    if (agreedMs === null) return null;
    const medianMs = agreedMs - this.#options.env.clock.monotonicMs();
    return new Map([...this.#offsets()].map(([id, offsetMs]) => [id, offsetMs - medianMs]));
  }

  /** Returns how far the time of the state is ahead of the masters' clocks. Null as in `skews`. */
  aheadMs(): number | null {
    const agreedMs = this.#agreedMs();
    const runningMs = this.#runningMs();
    return agreedMs === null || this.#isNew ? null : runningMs - agreedMs;
  }

  /**
   * Prepares a new leader: asks for the clocks. After a long time without a leader the time of the
   * state is behind. If a majority of the voters has about the same time, it is stepped forward.
   *
   * @throws {AshlarError} UNAVAILABLE in a new cluster, a few times, without a majority of the clocks
   */
  async prepare(propose: (command: StepClock) => Promise<unknown>): Promise<void> {
    const { env, state } = this.#options;
    await this.refresh();
    const aheadMs = this.aheadMs();
    if (this.#isNew && this.#agreedMs() === null && this.#newAttempts < NEW_ATTEMPTS_MAX) {
      this.#newAttempts += 1;
      throw noMajority("Cannot give the new cluster its time");
    }
    if (aheadMs === null || aheadMs > -STEP_MS_MIN || !this.#isMajorityClose()) return;
    const step = this.#stepToAgreed();
    env.log.warn("Stepping the time of the cluster to the clocks of the masters", { ...step });
    const canStep = state().featureLevel >= FEATURE_LEVEL_CLOCK_STEPS;
    try {
      await this.#step(step, canStep ? propose : async () => {});
    } catch (error) {
      if (!isAshlarError(error) || error.retry !== "never") throw error;
      env.log.error("The time of the cluster cannot be stepped: it approaches the clocks slowly", {
        error,
      });
    }
  }

  /**
   * Steps the time of the state to the median of the masters' clocks, in either direction.
   *
   * @throws {AshlarError} UNAVAILABLE without a majority of the clocks; the errors of `propose`
   */
  async reset(propose: (command: StepClock) => Promise<unknown>): Promise<Step> {
    await this.refresh();
    const step = this.#stepToAgreed();
    this.#options.env.log.warn("Resetting the time of the cluster", { ...step });
    await this.#step(step, propose);
    return step;
  }

  async #step(step: Step, propose: (command: StepClock) => Promise<unknown>): Promise<void> {
    const { clock } = this.#options.env;
    const before = this.#base;
    const after = { stampMs: step.toMs, atMs: clock.monotonicMs() };
    this.#isStepping = true;
    // Entries that follow a step back must not undo it. Those that follow a step forward have the new
    // time only once the step is committed: without it the retention would count the difference.
    if (step.toMs < step.fromMs) this.#base = after;
    try {
      await propose({ kind: "step-clock", ...step });
      this.#base = after;
      this.#creditMs = 0;
      this.#seenStateMs = this.#options.state().clockMs;
    } catch (error) {
      this.#base = before;
      throw error;
    } finally {
      this.#isStepping = false;
    }
  }

  #stepToAgreed(): Step {
    const agreedMs = this.#agreedMs();
    if (agreedMs === null) throw noMajority("Cannot set the time of the cluster");
    return { fromMs: Math.floor(this.#runningMs()), toMs: Math.floor(agreedMs) };
  }

  /** Whether no entry has a time yet. */
  get #isNew(): boolean {
    return this.#base.stampMs === 0;
  }

  /** Returns the time of the last entry plus the time since then. */
  #runningMs(): number {
    this.#observe();
    const { stampMs, atMs } = this.#base;
    return stampMs + this.#options.env.clock.monotonicMs() - atMs;
  }

  /** Returns the next time, as near to `targetMs` as the bounds of the rate allow. */
  #slewed(stampMs: number, passedMs: number, targetMs: number | null): number {
    const runningMs = stampMs + passedMs;
    this.#creditMs = Math.min(CREDIT_MS_MAX, this.#creditMs + passedMs);
    if (targetMs === null) return runningMs;
    if (targetMs <= runningMs) return Math.max(targetMs, stampMs + passedMs / 2);
    const nextMs = Math.min(targetMs, runningMs + this.#creditMs);
    this.#creditMs -= nextMs - runningMs;
    return nextMs;
  }

  /** Returns the median of the voters' clocks: of an even number the lower one. Null: unknown. */
  #agreedMs(): number | null {
    const nowMs = this.#options.env.clock.monotonicMs();
    if (nowMs - this.#median.atMs >= MEDIAN_AGE_MS_MAX) {
      this.#median = { atMs: nowMs, offsetMs: this.#medianOffsetMs() };
    }
    const { offsetMs } = this.#median;
    return offsetMs === null ? null : nowMs + offsetMs;
  }

  #medianOffsetMs(): number | null {
    const offsets = [...this.#offsets().values()].sort((left, right) => left - right);
    if (offsets.length * 2 <= this.#voterIds.length) return null;
    return offsets[Math.floor((offsets.length - 1) / 2)] ?? null;
  }

  #isMajorityClose(): boolean {
    const skews = [...(this.skews()?.values() ?? [])];
    const close = skews.filter((skewMs) => Math.abs(skewMs) < STEP_MS_MIN);
    return close.length * 2 > this.#voterIds.length;
  }

  /** Returns the current offset of each voter whose clock is known. That of this member is exact. */
  #offsets(): Map<MemberId, number> {
    const { env, consensus } = this.#options;
    const nowMs = env.clock.monotonicMs();
    const { memberId } = consensus.status();
    const offsets = new Map<MemberId, number>();
    for (const id of this.#voterIds) {
      const reading = this.#readings.get(id);
      if (id === memberId) offsets.set(id, env.clock.wallMs() - nowMs);
      else if (reading !== undefined && nowMs - reading.atMs <= READING_AGE_MS_MAX) {
        offsets.set(id, reading.offsetMs);
      }
    }
    return offsets;
  }

  /** Takes over the time of the state if entries of another leader, or a step, have changed it. */
  #observe(): void {
    const stateMs = this.#options.state().clockMs;
    if (this.#isStepping || stateMs === this.#seenStateMs) return;
    const isBack = stateMs < this.#seenStateMs;
    this.#seenStateMs = stateMs;
    if (!isBack && stateMs <= this.#base.stampMs) return;
    this.#base = { stampMs: stateMs, atMs: this.#options.env.clock.monotonicMs() };
  }

  /** Observes the state. On the leader, asks the other masters for their clocks if it is time. */
  async #compare(): Promise<void> {
    this.#observe();
    const { consensus, env } = this.#options;
    const isLeader = consensus.status().role === "leader";
    if (!isLeader || env.clock.monotonicMs() - this.#lastPollMs < POLL_MS) return;
    await this.refresh();
    this.#logGap();
  }

  /** Logs once that the time of the state is far from the clocks of the masters. */
  #logGap(): void {
    const aheadMs = this.aheadMs();
    const isFar = aheadMs !== null && Math.abs(aheadMs) > STEP_MS_MIN;
    if (isFar && !this.#hasLoggedGap) {
      this.#options.env.log.warn("The time of the cluster is far from the clocks of the masters", {
        aheadMs: Math.round(aheadMs),
        hint: "It approaches them slowly. To set it at once: ashlar cluster reset-clock",
      });
    }
    this.#hasLoggedGap = isFar;
  }
}

function noMajority(action: string): AshlarError {
  return new AshlarError(
    "UNAVAILABLE",
    `${action}: expected the clocks of a majority of the masters`,
    { hint: "ashlar master status shows which masters answer" },
  );
}
