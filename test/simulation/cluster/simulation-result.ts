/** Figures of one simulation. */
export interface SimulationResult {
  readonly virtualMs: number;
  readonly eventCount: number;
  /** Hash of all events, 16 hex digits. Equal for equal runs. */
  readonly traceHash: string;
  /** Calls with an answer. */
  readonly answeredCount: number;
  /** Calls without an answer that may have had an effect. */
  readonly unknownCount: number;
  /** Injected faults by kind. A kind without a fault has 0. */
  readonly faultCounts: Readonly<Record<string, number>>;
  /** Snapshots of which a master kept a part from an interrupted transfer. */
  readonly resumedSnapshotCount: number;
  /** Detections of corrupt states by error code, as in `StateCorruption.detections`. */
  readonly corruptionDetections: Readonly<Record<string, number>>;
  /** Answers that were discarded because a master with a corrupt state may have changed them. */
  readonly discardedCount: number;
  /** Terms with a leader. */
  readonly termCount: number;
  /** The highest committed log index. */
  readonly committedIndex: number;
  /** Comparisons between the states of two members at one index. */
  readonly stateComparisonCount: number;
  /** Events that the two watches of the whole tree received. */
  readonly feedEventCount: number;
  /** INDEX_EXPIRED errors of the two watches. */
  readonly feedExpiredCount: number;
}
