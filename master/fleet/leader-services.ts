import { isAshlarError } from "../../shared/base/errors.ts";
import type { LogIndex, SessionId } from "../../shared/base/ids.ts";
import type { Env } from "../../shared/ports/env.ts";
import type { ServerLocation } from "../../shared/protocol/intent.ts";
import type { Consensus, ConsensusStatus } from "../consensus.ts";
import type { RepairState } from "../fleet-view.ts";
import type { Bootstrap, ClusterFacts, Success, UnstampedCommand } from "../namespace/command.ts";
import type { ClusterClock } from "./cluster-clock.ts";
import type { FeatureUpgrade } from "./feature-upgrade.ts";
import { IntentFloor } from "./intent-floor.ts";
import type { Registry } from "./registry.ts";
import { RemovedServers, type RemovedServersState } from "./removed-servers.ts";
import type { Repair } from "./repair.ts";
import { repeatStep } from "./repeat-step.ts";
import type { SessionMonitor } from "./session-monitor.ts";

/** The part of the replicated state that the services read. */
export interface ServicesState extends RepairState, RemovedServersState {
  clusterFacts(): ClusterFacts | undefined;
  servers(): readonly ServerLocation[];
  sessions(page: {
    readonly after: SessionId | null;
    readonly limit: number;
  }): readonly { readonly sessionId: SessionId }[];
  hasSession(sessionId: SessionId): boolean;
  intentFloor(): LogIndex;
  /** Whether nothing was ever created in the cluster. */
  readonly isUnused: boolean;
  reclaimPending(nowMs: number, versionsMax: number): boolean;
  /** Whether the state has a join token that has expired. */
  hasExpiredTokens(nowMs: number): boolean;
}

/** Dependencies and settings of LeaderServices. */
export interface LeaderServicesOptions {
  readonly env: Env;
  readonly consensus: Consensus;
  readonly state: () => ServicesState;
  readonly propose: (command: UnstampedCommand) => Promise<Success>;
  /** Returns the time for entries, in milliseconds since the epoch. */
  readonly nowMs: () => number;
  readonly clock: Pick<ClusterClock, "prepare">;
  readonly registry: Registry;
  readonly repair: Repair;
  readonly sessions: SessionMonitor;
  readonly upgrade: FeatureUpgrade;
  /** Maximum number of superseded records in the history; see the `reclaim` command. */
  readonly historyVersionsMax: number;
  /** The settings of a new cluster. */
  readonly newCluster: Omit<Bootstrap, "kind" | "nowMs">;
}

/** Interval between two steps, in milliseconds. */
const STEP_MS = 250;
/** The same while repair has more work than one step may do: about a quarter of the time is for it. */
const BUSY_STEP_MS = 10;
/** Longest time between two attempts to raise the feature level of a new cluster, in milliseconds. */
const RAISE_DELAY_MS_MAX = 30_000;
/** Interval between two housekeeping steps, in milliseconds. */
const HOUSEKEEPING_MS = 1_000;
/** Maximum number of sessions that one entry expires. Each may have 1,024 stored outcomes. */
const SESSIONS_PER_ENTRY = 16;
/** Maximum number of entries that expire sessions in one housekeeping step. */
const EXPIRY_ENTRIES_PER_STEP = 50;
/** Maximum number of sessions that one housekeeping step reads. */
const SESSIONS_PER_STEP = 1_000;
/** Maximum number of records that one reclaim entry changes: a few ms of work on every master. */
const RECLAIM_RECORDS = 2_000;
/**
 * Maximum number of reclaim entries in one step: at most 48 a second. An entry has 400 files that were created
 * and unlinked (5 records each), and 250 below feature level 14 (8 records). It takes about 15 ms, and the steps
 * follow each other after a pause, so more than 10,000 such files a second are reclaimed, and 6,000 below level 14:
 * more than a cluster creates and unlinks.
 */
const RECLAIM_ENTRIES_PER_STEP = 12;

/**
 * The background work of the leader: liveness, repair, the intent floor, session expiry, reclaim.
 * Runs on every master and acts only while the master is the leader. Proposes every decision that
 * changes the state as a log entry.
 */
export class LeaderServices implements AsyncDisposable {
  readonly #options: LeaderServicesOptions;
  readonly #removedServers: RemovedServers;
  readonly #stop = new AbortController();
  #floor: IntentFloor | null = null;
  /** The term for which the services were last prepared. They are prepared once in each term. */
  #termPrepared = -1;
  /** The term in which this member created the cluster. */
  #termFounded = -1;
  /** Attempts of this process to raise the feature level, and the time of the next one. */
  #raiseAttempts = 0;
  #nextRaiseMs = 0;
  /** Whether the last step of repair has left work for the next one. */
  #isRepairBusy = false;
  #lastHousekeepingMs = 0;
  /** The last session that was read. Null at the beginning. Reading never ends: it starts again. */
  #sessionsAfter: SessionId | null = null;
  #running: Promise<unknown> = Promise.resolve();

  constructor(options: LeaderServicesOptions) {
    this.#options = options;
    this.#removedServers = new RemovedServers(options);
  }

  /** Starts the steps. */
  start(): void {
    const { env } = this.#options;
    const { signal } = this.#stop;
    const name = "A step of the leader services";
    const pauseMs = (): number => (this.#isRepairBusy ? BUSY_STEP_MS : STEP_MS);
    const steps = repeatStep(() => this.#step(), { env, pauseMs, signal, name });
    // Reclaim has its own steps: it must not delay repair, and must not run more often while repair is busy.
    const reclaim = { env, pauseMs: () => STEP_MS, signal, name: "A step of reclaim" };
    this.#running = Promise.all([steps, repeatStep(() => this.#reclaim(), reclaim)]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error("The leader services are stopping"));
    await this.#running;
  }

  async #step(): Promise<void> {
    const { consensus, env, repair, state } = this.#options;
    // After a stall of this process, the timer that reports the stall to the registry is due together
    // with this one, and may run after it. Repair must not evaluate the silence before.
    await env.clock.yieldTurn();
    const nowMs = env.clock.monotonicMs();
    const status = consensus.status();
    this.#isRepairBusy = false;
    if (status.role !== "leader" || !status.isReady) return;
    if (status.term !== this.#termPrepared) await this.#prepare(status);
    this.#isRepairBusy = repair.step(state());
    if (status.term === this.#termFounded || state().isUnused) await this.#raiseNewCluster(nowMs);
    if (nowMs - this.#lastHousekeepingMs >= HOUSEKEEPING_MS) {
      this.#lastHousekeepingMs = nowMs;
      await this.#housekeep(nowMs);
    }
  }

  /** Prepares the services for a term. Creates the cluster if this is the first leader. */
  async #prepare(status: ConsensusStatus): Promise<void> {
    const { env, newCluster, propose, registry, repair, sessions, state } = this.#options;
    await this.#options.clock.prepare(propose);
    if (state().clusterFacts() === undefined) {
      env.log.info("Creating the cluster", { clusterId: newCluster.clusterId });
      await propose({ kind: "bootstrap", ...newCluster });
      this.#termFounded = status.term;
    }
    const lifetimeMs = state().clusterFacts()?.intentLifetimeMs ?? newCluster.intentLifetimeMs;
    this.#floor = new IntentFloor({ lifetimeMs });
    registry.beginTerm(status.term, () => state().servers());
    repair.reset();
    sessions.reset();
    this.#sessionsAfter = null;
    this.#termPrepared = status.term;
  }

  /**
   * Raises the feature level of a new cluster. No older version has used its state. After an attempt
   * without effect the next one follows later: a master may be down, or have an older version.
   */
  async #raiseNewCluster(nowMs: number): Promise<void> {
    const { env, upgrade } = this.#options;
    if (!upgrade.isPossible || nowMs < this.#nextRaiseMs) return;
    this.#raiseAttempts += 1;
    try {
      await upgrade.finalize();
    } catch (error) {
      if (!isAshlarError(error)) throw error;
      env.log.info("The feature level of the new cluster is not raised yet", { error });
    }
    const delayMs = Math.min(RAISE_DELAY_MS_MAX, STEP_MS * 2 ** Math.min(this.#raiseAttempts, 10));
    this.#nextRaiseMs = env.clock.monotonicMs() + delayMs;
  }

  /** Raises the intent floor and expires sessions. */
  async #housekeep(monotonicMs: number): Promise<void> {
    const { nowMs, propose, state } = this.#options;
    const floor = this.#floor?.observe(state().appliedIndex, monotonicMs) ?? null;
    if (floor !== null && floor > state().intentFloor()) {
      await propose({ kind: "raise-intent-floor", floor });
    }
    await this.#removedServers.step();
    if (state().hasExpiredTokens(nowMs())) {
      const change = { kind: "expire-tokens" } as const;
      await propose({ kind: "change-enrolment", change });
    }
    await this.#expireSessions(monotonicMs);
  }

  /** Reclaims history in bounded steps, if this master is the leader and the services are prepared. */
  async #reclaim(): Promise<void> {
    const { consensus, nowMs, propose, state } = this.#options;
    const { role, isReady, term } = consensus.status();
    if (role !== "leader" || !isReady || term !== this.#termPrepared) return;
    const versionsMax = this.#options.historyVersionsMax;
    for (let entry = 0; entry < RECLAIM_ENTRIES_PER_STEP; entry += 1) {
      if (!state().reclaimPending(nowMs(), versionsMax)) break;
      const bounds = { recordsMax: RECLAIM_RECORDS, versionsMax };
      await propose({ kind: "reclaim", ...bounds });
    }
  }

  /** Expires inactive sessions in bounded steps. */
  async #expireSessions(monotonicMs: number): Promise<void> {
    const { propose, sessions, state } = this.#options;
    const page = state().sessions({ after: this.#sessionsAfter, limit: SESSIONS_PER_STEP });
    const known = page.map(({ sessionId }) => sessionId);
    sessions.addKnown(known, monotonicMs);
    this.#sessionsAfter = known.length < SESSIONS_PER_STEP ? null : (known.at(-1) ?? null);
    for (let entry = 0; entry < EXPIRY_ENTRIES_PER_STEP; entry += 1) {
      const sessionIds = sessions.expired(monotonicMs, SESSIONS_PER_ENTRY);
      if (sessionIds.length === 0) return;
      await propose({ kind: "expire-sessions", sessionIds });
      // The entry may have left some, because of its cost.
      sessions.forget(sessionIds.filter((sessionId) => !state().hasSession(sessionId)));
    }
  }
}
