import type { SeededRandom } from "../../support/seeded-random.ts";

/** Faults of one run. A rate is a probability for each message or each tick. */
export interface Faults {
  readonly lossRate: number;
  readonly duplicateRate: number;
  /** A message takes 1 to this many ticks. */
  readonly delayTicksMax: number;
  /** The delay of a message is up to ten times `delayTicksMax`: it may be outdated on arrival. */
  readonly longDelayRate: number;
  readonly partitionRate: number;
  readonly healRate: number;
  readonly crashRate: number;
  readonly restartRate: number;
  /** A member stops for some ticks, as in a long garbage collection, and then continues. */
  readonly pauseRate: number;
  /** A write to the log takes 0 to this many ticks. */
  readonly writeTicksMax: number;
  /** The leader proposes a membership change. */
  readonly changeRate: number;
  /** The leader transfers leadership. */
  readonly transferRate: number;
  /** A member compacts its log. */
  readonly compactRate: number;
}

/** No faults, for the recovery at the end of a run. */
export const NO_FAULTS: Faults = {
  lossRate: 0,
  duplicateRate: 0,
  delayTicksMax: 1,
  longDelayRate: 0,
  partitionRate: 0,
  healRate: 1,
  crashRate: 0,
  restartRate: 1,
  pauseRate: 0,
  writeTicksMax: 1,
  changeRate: 0,
  transferRate: 0,
  compactRate: 0,
};

/** Draws the faults of a run. Each run has a different mix, so rare faults also occur alone. */
export function drawFaults(random: SeededRandom): Faults {
  const pick = (choices: readonly number[]) => choices[random.integer(choices.length)] as number;
  return {
    lossRate: pick([0, 0.02, 0.1]),
    duplicateRate: pick([0, 0.05, 0.2]),
    delayTicksMax: pick([1, 3, 6]),
    longDelayRate: pick([0, 0.01, 0.03]),
    partitionRate: pick([0, 0.01, 0.02]),
    healRate: pick([0.01, 0.03]),
    crashRate: pick([0, 0.002, 0.006]),
    restartRate: pick([0.02, 0.1]),
    pauseRate: pick([0, 0.001, 0.003]),
    writeTicksMax: pick([0, 2, 8]),
    changeRate: pick([0, 0.01, 0.03]),
    transferRate: pick([0, 0.01]),
    compactRate: pick([0, 0.01, 0.05]),
  };
}
