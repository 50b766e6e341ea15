import { AshlarError } from "../../shared/base/errors.ts";
import type { Random } from "../../shared/ports/random.ts";
import type { FinalizedUpgrade } from "../../shared/protocol/masters-api.ts";
import type { Consensus } from "../consensus.ts";
import type { RaiseFeatureLevel, Success } from "../namespace/command.ts";
import { FEATURE_LEVEL_MAX } from "../namespace/feature-levels.ts";
import { type FetchReport, reportOf } from "./state-monitor.ts";

/** Dependencies of a FeatureUpgrade. */
export interface FeatureUpgradeOptions {
  readonly consensus: Pick<Consensus, "status">;
  /** Returns the current feature level of the cluster. */
  readonly featureLevel: () => number;
  readonly fetchReport: FetchReport;
  readonly propose: (command: RaiseFeatureLevel) => Promise<Success>;
  readonly random: Pick<Random, "bytes">;
}

const ENROLMENT_KEY_BYTES = 32;
/** Attempts to raise the level of a new cluster for which its chunkservers wait: a few seconds. */
const ATTEMPTS_MAX = 4;

/**
 * Raises the feature level of the cluster to the highest one that all masters support. After that an
 * older version cannot use the state, so only an operator starts it, once no master has to return to
 * an older version. A new cluster is raised when it is founded.
 */
export class FeatureUpgrade {
  readonly #options: FeatureUpgradeOptions;
  #failedCount = 0;
  #hasSucceeded = false;

  constructor(options: FeatureUpgradeOptions) {
    this.#options = options;
  }

  /** Returns whether this program supports a higher level than that of the cluster. */
  get isPossible(): boolean {
    return this.#options.featureLevel() < FEATURE_LEVEL_MAX;
  }

  /** Whether this process may still raise the level of a new cluster soon. */
  get isPending(): boolean {
    return this.isPossible && !this.#hasSucceeded && this.#failedCount < ATTEMPTS_MAX;
  }

  /**
   * Runs on the leader.
   *
   * @throws {AshlarError} UNAVAILABLE if a master does not answer: its version is unknown. Nothing is
   *   changed then. The errors of `propose`
   */
  async finalize(): Promise<FinalizedUpgrade> {
    try {
      const levels = await this.#raise();
      this.#hasSucceeded = true;
      return levels;
    } catch (error) {
      this.#failedCount += 1;
      throw error;
    }
  }

  async #raise(): Promise<FinalizedUpgrade> {
    const { consensus, featureLevel, fetchReport, propose } = this.#options;
    const before = featureLevel();
    const { members } = consensus.status();
    const reports = await Promise.all(members.map((member) => reportOf(member, fetchReport)));
    const silent = members.filter((_, position) => reports[position] === null);
    if (silent.length > 0) {
      const names = silent.map(({ id, address }) => `master ${id} (${address})`).join(", ");
      throw new AshlarError(
        "UNAVAILABLE",
        `Cannot raise the feature level: expected an answer of every master: none from ${names}`,
        { hint: "Start the master, or remove it from the cluster, then repeat the command" },
      );
    }
    const supported = members.map(({ id, address }, position) => {
      return { id, address, featureLevelMax: reports[position]?.featureLevelMax ?? 0 };
    });
    const levels = supported.map(({ featureLevelMax }) => featureLevelMax);
    const highest = Math.max(...levels);
    const olderMasters = supported.filter(({ featureLevelMax }) => featureLevelMax < highest);
    const level = Math.min(FEATURE_LEVEL_MAX, ...levels);
    if (level <= before) return { before, after: before, olderMasters };
    const enrolmentKey = this.#options.random.bytes(ENROLMENT_KEY_BYTES);
    await propose({ kind: "raise-feature-level", level, enrolmentKey });
    return { before, after: level, olderMasters };
  }
}
