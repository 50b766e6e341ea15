import { AshlarError } from "../../shared/base/errors.ts";
import type { Command } from "./command.ts";

/**
 * What the members of a cluster may put into the log and the state: a number that only goes up, by
 * an entry, once every member has said that it supports it. A program supports all levels up to its
 * own. A change of what is replicated (a new command, a record with other bytes) needs a new level.
 *
 *     1  everything that stands below without another level
 *     2  checkpoints
 */
export const FEATURE_LEVEL_MAX = 2;
/** From here on members understand checkpoints. */
export const FEATURE_LEVEL_CHECKPOINTS = 2;
/** Of a cluster that never raised it. */
export const FEATURE_LEVEL_FIRST = 1;

/** The level from which on a command may be proposed. */
const COMMAND_LEVELS: Readonly<Record<Command["kind"], number>> = {
  "add-replicas": 1,
  bootstrap: 1,
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
  transact: 1,
};

/** Whether this program knows commands of that kind. */
export function isKnownKind(kind: string): kind is Command["kind"] {
  return Object.hasOwn(COMMAND_LEVELS, kind);
}

/** @throws {AshlarError} VERSION_MISMATCH if members of `level` may not know the command. */
export function checkCommandLevel(kind: Command["kind"], level: number): void {
  const wanted = COMMAND_LEVELS[kind];
  if (wanted <= level) return;
  throw new AshlarError(
    "VERSION_MISMATCH",
    `Cannot propose ${kind}: expected feature level ${wanted}: the cluster is at ${level}`,
    { hint: "The level rises by itself once every master runs a version that supports it" },
  );
}

/** @throws {AshlarError} VERSION_MISMATCH if a newer program is needed for that level. */
export function checkFeatureLevel(level: number): void {
  if (level <= FEATURE_LEVEL_MAX) return;
  throw new AshlarError(
    "VERSION_MISMATCH",
    `Cannot go on with this cluster: it is at feature level ${level}: this version supports ${FEATURE_LEVEL_MAX}`,
    { hint: "Run the version of the other masters on this one" },
  );
}
