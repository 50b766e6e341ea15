import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { MemberId } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import {
  changeMasters,
  type FinalizedUpgrade,
  finalizeUpgrade,
  type MastersChange,
  type MastersStatus,
  mastersStatus,
  resetClock,
  transferLeadership,
} from "../../shared/protocol/masters-api.ts";
import type { CallOptions } from "../options.ts";
import type { MasterSession } from "./master-session.ts";

/** A master to add. */
export interface MasterAddress {
  /** Member number, from 1, as in the `memberId` of its config. */
  readonly memberId: number;
  /** Address that the other masters and clients connect to, "host:port". */
  readonly address: string;
}

/** Options of `Masters.add`. */
export interface AddMastersOptions extends CallOptions {
  /** Members to remove in the step that gives the new masters their votes. */
  readonly replace?: readonly number[];
  /**
   * Fails with MEMBER_BEHIND if the new masters have not caught up after this many milliseconds.
   * Default: no limit.
   */
  readonly catchUpTimeoutMs?: number;
  /** Called about twice a second while the new masters catch up. Must not throw. */
  readonly onProgress?: (status: MastersStatus) => void;
}

/** Status and membership of the masters. Membership can be changed while the cluster serves. */
export interface Masters {
  /** Resolves with the members, their votes, the leader and the replication progress. */
  status(options?: CallOptions): Promise<MastersStatus>;
  /**
   * Adds masters that run with `join = true` in their configs. The new masters first receive the
   * state and the log as learners. After all of them have caught up, one step gives all of them
   * votes. Repeating a call that was interrupted completes it.
   *
   * Resolves when the new membership is committed.
   *
   * @throws {AshlarError} ALREADY_EXISTS; MEMBER_UNKNOWN for `replace`; MEMBER_UNREACHABLE or
   *   WRONG_IDENTITY for a new master; MEMBER_BEHIND, MAJORITY_AT_RISK, CHANGE_UNDER_WAY.
   */
  add(masters: readonly MasterAddress[], options?: AddMastersOptions): Promise<void>;
  /**
   * Removes masters in one step. When the promise resolves the removed masters can be stopped.
   *
   * @throws {AshlarError} MEMBER_UNKNOWN, MAJORITY_AT_RISK, CHANGE_UNDER_WAY; MEMBER_BEHIND if the
   *   leader is removed and no remaining voter can take over.
   */
  remove(memberIds: readonly number[], options?: CallOptions): Promise<void>;
  /**
   * Transfers leadership to a voter; for null, to the voter whose log is most up to date. Resolves
   * with the id of the new leader.
   *
   * @throws {AshlarError} MEMBER_UNKNOWN, MEMBER_BEHIND; INVALID_ARGUMENT for a master without a
   *   vote.
   */
  transfer(memberId: number | null, options?: CallOptions): Promise<number>;
  /**
   * Ends an upgrade: lets the cluster use what all masters support now. Resolves with the feature level
   * before and after, and with the masters of an older version that keep it from rising further
   * (`olderMasters`). Afterwards no master can return to a version that does not support it.
   *
   * @throws {AshlarError} UNAVAILABLE if a master does not answer
   */
  finalizeUpgrade(options?: CallOptions): Promise<FinalizedUpgrade>;
  /**
   * Steps the time of the cluster, with which changes are stamped, to the median of the clocks of
   * the masters. Resolves with the times before and after it, in milliseconds since the epoch.
   *
   * @throws {AshlarError} UNAVAILABLE if a majority of the masters does not answer; VERSION_MISMATCH
   *   below feature level 9
   */
  resetClock(options?: CallOptions): Promise<{ readonly fromMs: number; readonly toMs: number }>;
}

const STATUS_POLL_MS = 500;
/** Default time to wait for a pending membership change, in milliseconds. */
const PENDING_CHANGE_TIMEOUT_MS = 10_000;
/** Attempts to give a vote to a master that has caught up. */
const PROMOTE_ATTEMPTS_MAX = 5;
const NO_CHANGE: MastersChange = { add: [], promote: [], remove: [] };

/** Implements `Masters` with calls to the leader. */
export class ClusterMasters implements Masters {
  readonly #session: MasterSession;
  readonly #clock: Clock;

  constructor(session: MasterSession, clock: Clock) {
    this.#session = session;
    this.#clock = clock;
  }

  status(options: CallOptions = {}): Promise<MastersStatus> {
    return this.#session.call(mastersStatus, {}, options);
  }

  async add(masters: readonly MasterAddress[], options: AddMastersOptions = {}): Promise<void> {
    const { replace = [] } = options;
    const before = await this.#statusWithoutPendingChange(options);
    for (const id of replace) requireMember(before, id);
    const missing = masters.filter((master) => !isLearnerAt(before, master));
    if (missing.length > 0) {
      const add = missing.map(({ memberId, address }) => ({ id: memberId as MemberId, address }));
      await this.#change({ ...NO_CHANGE, add }, options);
    }
    const promote = masters.map(({ memberId }) => memberId as MemberId);
    const remove = replace.map((id) => id as MemberId);
    // A removed leader transfers leadership to a remaining voter, so a voter must remain.
    const voters = before.masters.filter((master) => master.vote === "voter");
    const removesAllVoters = voters.every((master) => remove.includes(master.memberId));
    if (remove.length === 0 || !removesAllVoters) {
      try {
        await this.#promote({ ...NO_CHANGE, promote, remove }, options);
        return;
      } catch (error) {
        const isSuccessorMissing = remove.length > 0 && isAshlarError(error, "MEMBER_BEHIND");
        if (!isSuccessorMissing) throw error;
      }
    }
    // A new master gets a vote and leadership before the old leader is removed.
    await this.#promote({ ...NO_CHANGE, promote }, options);
    await this.transfer(promote[0] ?? null, options);
    await this.#change({ ...NO_CHANGE, remove }, options);
  }

  async remove(memberIds: readonly number[], options: CallOptions = {}): Promise<void> {
    const before = await this.#statusWithoutPendingChange(options);
    for (const id of memberIds) requireMember(before, id);
    await this.#change({ ...NO_CHANGE, remove: memberIds.map((id) => id as MemberId) }, options);
  }

  async transfer(memberId: number | null, options: CallOptions = {}): Promise<number> {
    const to = memberId as MemberId | null;
    return (await this.#session.call(transferLeadership, { to }, options)).leaderId;
  }

  finalizeUpgrade(options: CallOptions = {}): Promise<FinalizedUpgrade> {
    return this.#session.call(finalizeUpgrade, {}, options);
  }

  resetClock(
    options: CallOptions = {},
  ): Promise<{ readonly fromMs: number; readonly toMs: number }> {
    return this.#session.call(resetClock, {}, options);
  }

  /**
   * Resolves with the members when no membership change is pending: members that a pending change
   * removes still vote. After a timeout it resolves with the members of the pending change.
   */
  async #statusWithoutPendingChange(options: CallOptions): Promise<MastersStatus> {
    const untilMs = this.#clock.monotonicMs() + (options.timeoutMs ?? PENDING_CHANGE_TIMEOUT_MS);
    for (;;) {
      const status = await this.status(options);
      if (!status.isJoint || this.#clock.monotonicMs() > untilMs) return status;
      await this.#clock.sleep(STATUS_POLL_MS, options.signal);
    }
  }

  /**
   * Resolves when all `ids` replicate the log and have reached the index that the leader had
   * committed at the first poll.
   */
  async #waitForCatchUp(ids: readonly MemberId[], options: AddMastersOptions): Promise<void> {
    const { onProgress, catchUpTimeoutMs = Number.POSITIVE_INFINITY, signal } = options;
    const untilMs = this.#clock.monotonicMs() + catchUpTimeoutMs;
    for (let goal = 0; ; ) {
      const status = await this.status(options);
      onProgress?.(status);
      const behind = ids.filter((id) => !hasReached(status, id, goal));
      if (goal > 0 && behind.length === 0) return;
      if (goal === 0) goal = status.committedIndex;
      else if (this.#clock.monotonicMs() > untilMs) throw notCaughtUp(behind, goal);
      await this.#clock.sleep(
        goal === status.committedIndex ? STATUS_POLL_MS / 5 : STATUS_POLL_MS,
        signal,
      );
    }
  }

  /**
   * Makes a change that gives votes, when the new masters have caught up. A leader that was stalled
   * lacks their answers for a moment and refuses: then this waits and tries again.
   */
  async #promote(change: MastersChange, options: AddMastersOptions): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      await this.#waitForCatchUp(change.promote, options);
      try {
        await this.#change(change, options);
        return;
      } catch (error) {
        const isBehind = isAshlarError(error, "MEMBER_BEHIND") && change.remove.length === 0;
        if (!isBehind || attempt === PROMOTE_ATTEMPTS_MAX) throw error;
      }
      await this.#clock.sleep(STATUS_POLL_MS, options.signal);
    }
  }

  /**
   * Makes one membership change. If the response is lost, the current membership decides whether
   * the change was made. A change waits for a pending change, up to the timeout of the call.
   */
  async #change(change: MastersChange, options: CallOptions): Promise<void> {
    try {
      await this.#session.callOnce(changeMasters, change, options);
    } catch (error) {
      if (!isAshlarError(error) || error.retry !== "idempotent-only") throw error;
      if (options.signal?.aborted || !isApplied(await this.status(options), change)) throw error;
    }
    await this.#session.refreshMasters(options);
  }
}

/** Returns whether the master was added at this address and has no vote yet. */
function isLearnerAt({ masters }: MastersStatus, { memberId, address }: MasterAddress): boolean {
  const found = masters.find((master) => master.memberId === memberId);
  return found?.vote === "learner" && found.address === address;
}

function hasReached({ masters }: MastersStatus, id: MemberId, goal: number): boolean {
  const progress = masters.find((master) => master.memberId === id)?.progress;
  return progress?.state === "replicate" && progress.matchIndex >= goal;
}

function isApplied({ masters, isJoint }: MastersStatus, change: MastersChange): boolean {
  const voteOf = (id: MemberId) => masters.find((master) => master.memberId === id)?.vote;
  return (
    !isJoint &&
    change.add.every(({ id }) => voteOf(id) !== undefined) &&
    change.promote.every((id) => voteOf(id) === "voter") &&
    change.remove.every((id) => voteOf(id) === undefined)
  );
}

function requireMember({ masters }: MastersStatus, id: number): void {
  if (masters.some((master) => master.memberId === id)) return;
  const known = masters.map((master) => master.memberId).join(", ");
  throw new AshlarError("MEMBER_UNKNOWN", `Cannot find master ${id}: expected one of ${known}`, {
    hint: "ashlar master status",
  });
}

function notCaughtUp(ids: readonly MemberId[], goal: number): AshlarError {
  return new AshlarError(
    "MEMBER_BEHIND",
    `Cannot give master ${ids.join(", ")} a vote: it has not reached log index ${goal} in time`,
    { hint: "The master continues to catch up: repeat the command later to complete it" },
  );
}
