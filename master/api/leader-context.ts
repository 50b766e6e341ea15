import { AshlarError } from "../../shared/base/errors.ts";
import type { Env } from "../../shared/ports/env.ts";
import type { Consensus } from "../consensus.ts";
import type { ClockView, FleetView, RepairView, SessionActivity } from "../fleet-view.ts";
import {
  type ClusterFacts,
  type Outcome,
  type Success,
  stamped,
  type UnstampedCommand,
  WIRE_COMMAND_BYTES_MAX,
} from "../namespace/command.ts";
import { encodeCommand } from "../namespace/command-encoding.ts";
import { COST_HINT, checkLeastCost } from "../namespace/cost.ts";
import { checkLevel, FEATURE_LEVEL_COST } from "../namespace/feature-levels.ts";
import type { Namespace } from "../namespace/namespace.ts";
import { errorOfRefused } from "../namespace/refused-answer.ts";
import { confirmRead, type WaitContext } from "./call-waits.ts";
import type { Registrations } from "./registrations.ts";
import type { ServerRemoval } from "./server-removal.ts";

/** Dependencies of the handlers of a master. */
export interface MasterDeps {
  readonly env: Env;
  readonly consensus: Consensus;
  /** Returns the current state: an installed snapshot replaces it. */
  readonly namespace: () => Namespace;
  readonly fleet: FleetView;
  readonly registrations: Registrations;
  readonly removal: ServerRemoval;
  /** Returns whether a new cluster is about to get its feature level: chunkservers wait until then. */
  readonly isFounding: () => boolean;
  readonly repair: RepairView;
  readonly sessions: SessionActivity;
  /**
   * Maximum number of superseded records in the history. If it is exceeded, the oldest are
   * reclaimed.
   */
  readonly historyVersionsMax: number;
  /** Returns the time for entries, in milliseconds since the epoch: see `ClusterClock`. */
  readonly nowMs: () => number;
  readonly clock: ClockView;
}

/**
 * Proposes `command`. Resolves with its outcome when it is committed and applied on this member.
 *
 * @throws {AshlarError} the refusal of the state machine; TOO_LARGE; VERSION_MISMATCH if another
 *   member may not support the command; the errors of `Consensus.propose`
 */
export async function propose(
  { consensus, namespace, nowMs }: Pick<MasterDeps, "consensus" | "namespace" | "nowMs">,
  unstamped: UnstampedCommand,
): Promise<Success> {
  // In the turn of the proposal, so that no entry undoes a step of the clock that precedes it.
  const command = stamped(unstamped, nowMs());
  checkLevel(command, namespace().featureLevel);
  const bytes = encodeCommand(command);
  if (bytes.length > WIRE_COMMAND_BYTES_MAX) {
    throw new AshlarError(
      "TOO_LARGE",
      `Cannot commit a change of ${bytes.length} bytes: expected at most ${WIRE_COMMAND_BYTES_MAX}`,
      { hint: COST_HINT },
    );
  }
  if (command.kind === "transact" && namespace().featureLevel >= FEATURE_LEVEL_COST) {
    checkLeastCost(command, bytes.length);
  }
  const { outcome } = await consensus.propose(bytes);
  return successOf(outcome as Outcome);
}

function successOf(outcome: Outcome): Success {
  if (outcome.ok) return outcome;
  throw errorOfRefused(outcome);
}

/** Returns the error of a removed master. The error names the masters that this master knows. */
function masterRemoved(masters: readonly string[]): AshlarError {
  return new AshlarError(
    "MASTER_REMOVED",
    "Cannot serve this request: this master was removed from the cluster",
    {
      ...(masters.length === 0 ? {} : { hint: `The masters are ${masters.join(", ")}` }),
      details: { masters },
    },
  );
}

/**
 * Checks that this member is the leader and has applied an entry of its own term.
 *
 * @throws {AshlarError} NOT_LEADER, with `details.leaderAddress` if it is known; MASTER_REMOVED;
 *   NO_LEADER before the leader is ready
 */
export function requireLeader(consensus: Consensus): void {
  const { role, isReady, leaderAddress, memberPhase, masters } = consensus.status();
  if (role !== "leader") {
    if (memberPhase === "removed") throw masterRemoved(masters);
    throw new AshlarError(
      "NOT_LEADER",
      "Cannot serve this request: this master is not the leader",
      {
        details: leaderAddress === null ? { masters } : { masters, leaderAddress },
      },
    );
  }
  if (!isReady) {
    throw new AshlarError(
      "NO_LEADER",
      "Cannot serve this request: the new leader is not ready yet",
    );
  }
}

/**
 * Starts the observation of a new term. Handlers call it before they use the fleet: the background
 * work of the leader begins up to a step later.
 */
export function beginTerm({ consensus, fleet, namespace }: MasterDeps): void {
  fleet.beginTerm(consensus.status().term, () => namespace().servers());
}

/**
 * Resolves in a turn of the caller with the state of the leader. It includes every write that was acknowledged before the
 * call, and the fleet is observed.
 *
 * @throws {AshlarError} the errors of `requireLeader` and of `confirmRead`
 */
export async function confirmedState(deps: MasterDeps, context: WaitContext): Promise<Namespace> {
  requireLeader(deps.consensus);
  await confirmRead(deps, context);
  beginTerm(deps);
  return deps.namespace();
}

/**
 * Returns the facts of the cluster.
 *
 * @throws {AshlarError} NO_LEADER until the first leader has created the cluster
 */
export function requireFacts(namespace: Namespace): ClusterFacts {
  const facts = namespace.clusterFacts();
  if (facts === undefined) {
    throw new AshlarError("NO_LEADER", "Cannot serve this request: the cluster is not created yet");
  }
  return facts;
}
