import { AssertionError } from "../../shared/base/assert.ts";
import { equalBytes } from "../../shared/base/bytes.ts";
import { isAshlarError } from "../../shared/base/errors.ts";
import type { LogIndex, MemberId } from "../../shared/base/ids.ts";
import type { Env } from "../../shared/ports/env.ts";
import type { Consensus, ConsensusStatus } from "../consensus.ts";
import type { StateMark } from "../namespace/checkpoints.ts";
import type { Command, Success } from "../namespace/command.ts";
import { FEATURE_LEVEL_CHECKPOINTS, FEATURE_LEVEL_MAX } from "../namespace/feature-levels.ts";

/** What a member says of its program and its state. */
export interface StateReport {
  readonly featureLevelMax: number;
  /** Its hashes at the last checkpoints. */
  readonly marks: readonly StateMark[];
}

export interface StateMonitorOptions {
  readonly env: Pick<Env, "clock" | "log">;
  readonly consensus: Pick<Consensus, "status">;
  readonly featureLevel: () => number;
  /** Asks a member, this one too. Rejects if it does not answer soon. */
  readonly fetchReport: (member: ConsensusStatus["members"][number]) => Promise<StateReport>;
  readonly propose: (command: Command) => Promise<Success>;
  /** Between two checkpoints. */
  readonly intervalMs: number;
}

interface MemberAnswer {
  readonly id: MemberId;
  /** Null: no answer. */
  readonly report: StateReport | null;
}

/** The last checkpoint of this leader. */
interface ProposedCheckpoint {
  readonly index: LogIndex;
  /** Whether other entries came before it; one that only brings a verdict asks for none. */
  readonly hasNewEntries: boolean;
}

/**
 * What the leader asks of all members, again and again: which feature level they support, and which
 * hash their state had at the last checkpoint. It proposes what follows: a higher level once all
 * support it, and a checkpoint with the verdict of the majority on the one before.
 *
 * The leader's own state counts no more than another's: if it is the one that differs, it stops
 * itself like any member. Without a majority nobody is stopped, since nobody can tell who is right.
 */
export class StateMonitor implements AsyncDisposable {
  readonly #options: StateMonitorOptions;
  readonly #stop = new AbortController();
  #lastCheckpoint: ProposedCheckpoint | null = null;
  #running: Promise<void> = Promise.resolve();

  constructor(options: StateMonitorOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running = this.#run();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error("The watch over the state stops"));
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock, log } = this.#options.env;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        await clock.sleep(this.#options.intervalMs, signal);
        await this.step();
      } catch (error) {
        if (error instanceof AssertionError) throw error; // A bug: the process stops.
        if (signal.aborted) return;
        // Losing leadership in the middle of a step is ordinary: the next leader goes on.
        const isOrdinary = isAshlarError(error) && error.retry !== "never";
        if (isOrdinary) log.info("A look at the states was cut short", { error });
        else log.error("A look at the states failed", { error });
      }
    }
  }

  /** One look at all members. Does nothing on a member that does not lead. */
  async step(): Promise<void> {
    const { consensus, featureLevel, propose } = this.#options;
    const { role, isReady, members, appliedIndex } = consensus.status();
    if (role !== "leader" || !isReady) {
      this.#lastCheckpoint = null;
      return;
    }
    const answers = await Promise.all(members.map((member) => this.#fetchAnswer(member)));
    const level = commonLevel(answers);
    if (level > featureLevel()) await propose({ kind: "raise-feature-level", level });
    // Alone there is nobody to compare with.
    if (members.length < 2 || featureLevel() < FEATURE_LEVEL_CHECKPOINTS) return;
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

  async #fetchAnswer(member: ConsensusStatus["members"][number]): Promise<MemberAnswer> {
    try {
      return { id: member.id, report: await this.#options.fetchReport(member) };
    } catch {
      return { id: member.id, report: null }; // The status of the cluster shows who is away.
    }
  }

  /** What more than half of all members have found at `index`, or null. */
  #majorityMark(index: LogIndex, answers: readonly MemberAnswer[]): StateMark | null {
    const found = answers.flatMap(({ id, report }) => {
      const mark = report?.marks.find((each) => each.index === index);
      return mark === undefined ? [] : [{ id, mark }];
    });
    const agreeing = (mark: StateMark): number =>
      found.filter((each) => equalBytes(each.mark.stateHash, mark.stateHash)).length;
    const verdict = found.find(({ mark }) => agreeing(mark) > answers.length / 2)?.mark ?? null;
    const against = verdict ?? found[0]?.mark ?? null;
    const others = found.filter(
      ({ mark }) => against !== null && !equalBytes(mark.stateHash, against.stateHash),
    );
    if (others.length > 0) {
      const message =
        verdict === null
          ? "The states of members differ, and no majority says which is right"
          : "The states of members differ from that of the majority: they stop";
      this.#options.env.log.error(message, { index, members: others.map((each) => each.id) });
    }
    return verdict;
  }
}

/** The highest level that everybody supports; 0 if somebody does not say. */
function commonLevel(answers: readonly MemberAnswer[]): number {
  const levels = answers.map(({ report }) => report?.featureLevelMax ?? 0);
  return Math.min(FEATURE_LEVEL_MAX, ...levels);
}
