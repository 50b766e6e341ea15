import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { MemberId } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import {
  changeMasters,
  type MastersChange,
  type MastersStatus,
  mastersStatus,
  transferLeadership,
} from "../../shared/protocol/masters-api.ts";
import type { CallOptions } from "../options.ts";
import type { MasterSession } from "./master-session.ts";

/** A master and where it listens ("host:port"). */
export interface MasterAddress {
  /** Its number, from 1. */
  readonly memberId: number;
  readonly address: string;
}

export interface AddMastersOptions extends CallOptions {
  /** Numbers of masters that go in the same step in which the new ones get their vote. */
  readonly replace?: readonly number[];
  /** They have caught up within so long, or MEMBER_BEHIND. Default: however long it takes. */
  readonly catchUpTimeoutMs?: number;
  /** Told while they catch up, about twice a second. Must not throw. */
  readonly onProgress?: (status: MastersStatus) => void;
}

/** Who the masters are, and changing it while the cluster runs. */
export interface Masters {
  status(options?: CallOptions): Promise<MastersStatus>;
  /**
   * Adds masters, each of which waits for it (`join = true` in its config): they get the state and
   * the log first, and their votes once they have caught up, all in one step. What was begun and
   * cut short is finished by the same call.
   *
   * @throws {AshlarError} ALREADY_EXISTS, MEMBER_UNKNOWN (of `replace`), MEMBER_UNREACHABLE
   *   and WRONG_IDENTITY of a new one, MEMBER_BEHIND, MAJORITY_AT_RISK, CHANGE_UNDER_WAY.
   */
  add(masters: readonly MasterAddress[], options?: AddMastersOptions): Promise<void>;
  /**
   * Removes masters in one step. Once it resolves they are not needed any more.
   *
   * @throws {AshlarError} MEMBER_UNKNOWN, MAJORITY_AT_RISK, CHANGE_UNDER_WAY, MEMBER_BEHIND if one of
   *   them leads and nobody can take over.
   */
  remove(memberIds: readonly number[], options?: CallOptions): Promise<void>;
  /**
   * Hands leadership to one of them, or for null to whichever lacks least. Resolves with the leader.
   *
   * @throws {AshlarError} MEMBER_UNKNOWN, MEMBER_BEHIND, INVALID_ARGUMENT for one without a vote.
   */
  transfer(memberId: number | null, options?: CallOptions): Promise<number>;
}

const STATUS_POLL_MS = 500;
const PENDING_CHANGE_TIMEOUT_MS = 10_000;
const NO_CHANGE: MastersChange = { add: [], promote: [], remove: [] };

/** The masters of a cluster, by calls to their leader. */
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
    await this.#waitForCatchUp(promote, options);
    const remove = replace.map((id) => id as MemberId);
    // A leader that goes hands over to a voter that stays: there must be one.
    const voters = before.masters.filter((master) => master.vote === "voter");
    const isWhole = voters.every((master) => remove.includes(master.memberId));
    if (remove.length === 0 || !isWhole) {
      try {
        await this.#change({ ...NO_CHANGE, promote, remove }, options);
        return;
      } catch (error) {
        const isHeirMissing = remove.length > 0 && isAshlarError(error, "MEMBER_BEHIND");
        if (!isHeirMissing) throw error;
      }
    }
    // One of the new ones leads, with a vote, before the old leader goes.
    await this.#change({ ...NO_CHANGE, promote }, options);
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

  /** Who they are once no change is under way: whom it removes is needed until then. */
  async #statusWithoutPendingChange(options: CallOptions): Promise<MastersStatus> {
    const untilMs = this.#clock.monotonicMs() + (options.timeoutMs ?? PENDING_CHANGE_TIMEOUT_MS);
    for (;;) {
      const status = await this.status(options);
      if (!status.isJoint || this.#clock.monotonicMs() > untilMs) return status;
      await this.#clock.sleep(STATUS_POLL_MS, options.signal);
    }
  }

  /** Until every one of them follows the log, and has what the leader had a moment before. */
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
   * One change. An answer that was lost says nothing: who the masters are then does. A change that
   * another one is in the way of waits for it, up to the time limit of the call.
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
  throw new AshlarError("MEMBER_UNKNOWN", `Cannot find master ${id}: the masters are ${known}`, {
    hint: "ashlar master status",
  });
}

function notCaughtUp(ids: readonly MemberId[], goal: number): AshlarError {
  return new AshlarError(
    "MEMBER_BEHIND",
    `Cannot give master ${ids.join(", ")} a vote: it has not reached index ${goal} in time`,
    { hint: "It goes on catching up: the same command finishes it later" },
  );
}
