import { AshlarError } from "../../shared/base/errors.ts";
import type { Command, NamespaceOperation } from "./command.ts";

/**
 * The highest feature level that this program supports. It supports all lower levels too.
 *
 * The feature level of a cluster says what its members may write to the log and the state. It never
 * decreases. A log entry raises it when the cluster is founded, and when an operator has finished an
 * upgrade and every member has reported that it supports the new level. A change of the replicated
 * data (a new command, a changed encoding of a record) needs a new level.
 *
 *     1  every command whose level in `COMMAND_LEVELS` is 1
 *     2  checkpoints
 *     3  unfinished uploads: the operations `stage` and `unstage`, and the tables behind them
 *     4  changes of the retention of the history
 *     5  reports of lost copies with their intent
 *     6  unfinished trees: the operation `stage-directory`
 *     7  bounds of the cost of an entry and of the depth of a new name
 *     8  outcomes store the reason of a refusal in place of its words
 *     9  steps of the clock
 *    10  removal of chunkservers
 *    11  published uploads: the operation `publish`, and segments in the staging table
 *    12  files of many chunks: copies that `reclaim` raises, restores that share a content
 *    13  enrolment of chunkservers, and versions of the chunk key
 *    14  rotation of the chunk key while the enrolment is closed; a removal leaves one row of the reclaim queue;
 *        the state records the formats of its tables; copies that a disk cannot read are not counted
 */
export const FEATURE_LEVEL_MAX = 14;
/** The first level whose members support checkpoints. */
export const FEATURE_LEVEL_CHECKPOINTS = 2;
/** The first level whose members support unfinished uploads. */
const FEATURE_LEVEL_STAGING = 3;
/** The first level whose members support changes of the retention. */
const FEATURE_LEVEL_RETENTION = 4;
/** The first level whose members compare the intent of a lost copy. */
export const FEATURE_LEVEL_LOST_INTENT = 5;
/** The first level whose members support unfinished trees. */
const FEATURE_LEVEL_TREES = 6;
/** The first level at which an entry that costs too much is refused. */
export const FEATURE_LEVEL_COST = 7;
/** The first level whose outcomes store reasons and facts. Below it they store words of version 0.1.0. */
export const FEATURE_LEVEL_REASONS = 8;
/** The first level whose members support steps of the clock. */
export const FEATURE_LEVEL_CLOCK_STEPS = 9;
/** The first level whose members support the removal of chunkservers. */
const FEATURE_LEVEL_REMOVE_SERVER = 10;
/** The first level whose members publish uploads. */
export const FEATURE_LEVEL_PUBLISH = 11;
/** The first level that divides the work on a file of many chunks, or avoids it. */
export const FEATURE_LEVEL_LONG_FILES = 12;
/** The first level at which a chunkserver must enrol. */
export const FEATURE_LEVEL_ENROLMENT = 13;
/** The first level at which the chunk key rotates while the enrolment is closed. */
const FEATURE_LEVEL_ROTATION = 14;
/** The first level at which a removal leaves one row of the reclaim queue: see reclaim-queue.ts. */
export const FEATURE_LEVEL_REMOVED = 14;
/** The first level at which the state records the formats of its tables: see row-formats.ts. */
export const FEATURE_LEVEL_FORMATS = 14;
/** The first level whose members keep the last recorded copy of a chunk if a disk cannot read it. */
export const FEATURE_LEVEL_UNREADABLE = 14;
/** The level of a cluster that never raised its level. */
export const FEATURE_LEVEL_FIRST = 1;

/** The lowest feature level at which a command may be proposed. */
const COMMAND_LEVELS: Readonly<Record<Command["kind"], number>> = {
  "add-replicas": 1,
  bootstrap: 1,
  "change-enrolment": FEATURE_LEVEL_ENROLMENT,
  checkpoint: FEATURE_LEVEL_CHECKPOINTS,
  "close-session": 1,
  "define-storage-class": 1,
  "drop-replicas": 1,
  "expire-sessions": 1,
  "finish-purges": 1,
  "keep-session": 1,
  "open-session": 1,
  "raise-feature-level": 1,
  "raise-intent-floor": 1,
  reclaim: 1,
  "register-server": 1,
  "remove-server": FEATURE_LEVEL_REMOVE_SERVER,
  "set-history-retention": FEATURE_LEVEL_RETENTION,
  "step-clock": FEATURE_LEVEL_CLOCK_STEPS,
  transact: 1,
};

/** The lowest feature level at which an operation may be proposed. Absent: 1. */
const OPERATION_LEVELS: Readonly<Partial<Record<NamespaceOperation["kind"], number>>> = {
  publish: FEATURE_LEVEL_PUBLISH,
  stage: FEATURE_LEVEL_STAGING,
  "stage-directory": FEATURE_LEVEL_TREES,
  unstage: FEATURE_LEVEL_STAGING,
};

/** Returns whether this program supports commands of this kind. */
export function isKnownKind(kind: string): kind is Command["kind"] {
  return Object.hasOwn(COMMAND_LEVELS, kind);
}

/**
 * Checks that every member of a cluster at `level` supports the command and its operations.
 *
 * @throws {AshlarError} VERSION_MISMATCH
 */
export function checkLevel(command: Command, level: number): void {
  requireLevel(command.kind, COMMAND_LEVELS[command.kind], level);
  if (command.kind === "change-enrolment" && "rotatesFrom" in command.change) {
    requireLevel("a rotation of the chunk key", FEATURE_LEVEL_ROTATION, level);
  }
  if (command.kind === "drop-replicas" && command.items.some((item) => item.isUnreadable)) {
    requireLevel("the removal of an unreadable copy", FEATURE_LEVEL_UNREADABLE, level);
  }
  // A cluster at the highest level supports all operations.
  if (level >= FEATURE_LEVEL_MAX || command.kind !== "transact") return;
  for (const { kind } of command.operations) requireLevel(kind, OPERATION_LEVELS[kind] ?? 1, level);
}

function requireLevel(kind: string, requiredLevel: number, level: number): void {
  if (requiredLevel <= level) return;
  throw new AshlarError(
    "VERSION_MISMATCH",
    `Cannot propose ${kind}: expected feature level ${requiredLevel} or higher: current value is ${level}`,
    {
      hint: "Run `ashlar cluster finalize-upgrade` once every master runs a version that supports it",
    },
  );
}

/** Checks that this program supports `level`. @throws {AshlarError} VERSION_MISMATCH */
export function checkFeatureLevel(level: number): void {
  if (level <= FEATURE_LEVEL_MAX) return;
  throw new AshlarError(
    "VERSION_MISMATCH",
    `Cannot use the cluster's state: expected feature level ${FEATURE_LEVEL_MAX} or lower: current value is ${level}`,
    { hint: "Run the version of the other masters on this master" },
  );
}
