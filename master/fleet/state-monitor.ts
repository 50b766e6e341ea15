import { equalBytes } from "../../shared/base/bytes.ts";
import { isAshlarError } from "../../shared/base/errors.ts";
import type { LogIndex, MemberId } from "../../shared/base/ids.ts";
import type { Env } from "../../shared/ports/env.ts";
import type { Consensus, ConsensusStatus } from "../consensus.ts";
import type { StateMark } from "../namespace/checkpoints.ts";
import type { Checkpoint, Success } from "../namespace/command.ts";
import { FEATURE_LEVEL_CHECKPOINTS } from "../namespace/feature-levels.ts";
import { repeatStep } from "./repeat-step.ts";

/** Report of a member about its program and its state. */
export interface StateReport {
  /** The highest feature level that the program of the member supports. */
  readonly featureLevelMax: number;
  /** The state hashes of the member at the last checkpoints. */
  readonly marks: readonly StateMark[];
}

/** Fetches the report of a member, or of this member. Rejects after a short timeout. */
export type FetchReport = (member: ConsensusStatus["members"][number]) => Promise<StateReport>;

/** Returns the report of a member. Null if the member does not answer. */
export async function reportOf(
  member: Parameters<FetchReport>[0],
  fetchReport: FetchReport,
): Promise<StateReport | null> {
  try {
    return await fetchReport(member);
  } catch (error) {
    if (!isAshlarError(error)) throw error;
    return null; // The cluster status shows which members do not answer.
  }
}

/** Dependencies and settings of a StateMonitor. */
export interface StateMonitorOptions {
  readonly env: Pick<Env, "clock" | "log">;
  readonly consensus: Pick<Consensus, "status">;
  /** Returns the current feature level of the cluster. */
  readonly featureLevel: () => number;
  readonly fetchReport: FetchReport;
  readonly propose: (command: Checkpoint) => Promise<Success>;
  /** Interval between two steps, in milliseconds. */
  readonly intervalMs: number;
}

interface MemberAnswer {
  readonly id: MemberId;
  /** Null if the member did not answer. */
  readonly report: StateReport | null;
}

/** The last checkpoint that this leader proposed. */
interface ProposedCheckpoint {
  readonly index: LogIndex;
  /**
   * Whether other entries are between the previous checkpoint and this one. If not, the state is
   * unchanged and its hashes need no comparison.
   */
  readonly hasNewEntries: boolean;
}

/**
 * Collects from all members, at intervals, the hash of their state at the last checkpoint. Proposes a
 * checkpoint with the hash of the majority at the previous checkpoint (the verdict). A member whose
 * hash differs from the verdict stops.
 *
 * The state of the leader has no privilege: if it differs, the leader stops like any other member.
 * Without a majority of equal hashes no member stops, because it is not known which state is right.
 */
export class StateMonitor implements AsyncDisposable {
  readonly #options: StateMonitorOptions;
  readonly #stop = new AbortController();
  #lastCheckpoint: ProposedCheckpoint | null = null;
  #running: Promise<void> = Promise.resolve();

  constructor(options: StateMonitorOptions) {
    this.#options = options;
  }

  /** Starts the steps. */
  start(): void {
    const { env, intervalMs } = this.#options;
    const name = "A comparison of the states";
    const loop = { env, pauseMs: () => intervalMs, signal: this.#stop.signal, name };
    this.#running = repeatStep(() => this.step(), loop);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error("The state monitor is stopping"));
    await this.#running;
  }

  /**
   * Collects the reports once and proposes the resulting entries. Has no effect on a member that is
   * not the leader.
   */
  async step(): Promise<void> {
    const { consensus, featureLevel, propose } = this.#options;
    const { role, isReady, members, appliedIndex } = consensus.status();
    if (role !== "leader" || !isReady) {
      this.#lastCheckpoint = null;
      return;
    }
    // A single member has no other state to compare with.
    if (members.length < 2 || featureLevel() < FEATURE_LEVEL_CHECKPOINTS) return;
    const answers = await Promise.all(
      members.map(async (member) => ({
        id: member.id,
        report: await reportOf(member, this.#options.fetchReport),
      })),
    );
    const hasNewEntries =
      this.#lastCheckpoint === null || appliedIndex > this.#lastCheckpoint.index;
    const verdict =
      this.#lastCheckpoint?.hasNewEntries === true
        ? this.#majorityMark(this.#lastCheckpoint.index, answers)
        : null;
    if (!hasNewEntries && verdict === null) return;
    const { index } = await propose({ kind: "checkpoint", verdict });
    this.#lastCheckpoint = { index, hasNewEntries };
  }

  /**
   * Returns the hash that more than half of all members have at `index`, or null. Logs differences.
   */
  #majorityMark(index: LogIndex, answers: readonly MemberAnswer[]): StateMark | null {
    const found = answers.flatMap(({ id, report }) => {
      const mark = report?.marks.find((each) => each.index === index);
      return mark === undefined ? [] : [{ id, mark }];
    });
    const countEqual = (mark: StateMark): number =>
      found.filter((each) => equalBytes(each.mark.stateHash, mark.stateHash)).length;
    const verdict = found.find(({ mark }) => countEqual(mark) > answers.length / 2)?.mark ?? null;
    const reference = verdict ?? found[0]?.mark ?? null;
    const others = found.filter(
      ({ mark }) => reference !== null && !equalBytes(mark.stateHash, reference.stateHash),
    );
    if (others.length > 0) {
      const message =
        verdict === null
          ? "The states of members differ, and no majority of members has equal states"
          : "The states of members differ from the state of the majority: these members stop";
      this.#options.env.log.error(message, { index, members: others.map((each) => each.id) });
    }
    return verdict;
  }
}
