import { AshlarError } from "../../shared/base/errors.ts";
import type { Env } from "../../shared/ports/env.ts";
import type { Consensus } from "../consensus.ts";
import type { FleetView, RepairView, SessionActivity } from "../fleet-view.ts";
import {
  type ClusterFacts,
  type Command,
  type Outcome,
  type Success,
  WIRE_COMMAND_BYTES_MAX,
} from "../namespace/command.ts";
import { encodeCommand } from "../namespace/command-encoding.ts";
import { checkCommandLevel } from "../namespace/feature-levels.ts";
import type { Namespace } from "../namespace/namespace.ts";

/** What the handlers of one master share. */
export interface MasterDeps {
  readonly env: Env;
  readonly consensus: Consensus;
  /** The state of the moment: an installed snapshot replaces it. */
  readonly namespace: () => Namespace;
  readonly fleet: FleetView;
  readonly repair: RepairView;
  readonly sessions: SessionActivity;
  /** Rows that the history may have before the oldest go. */
  readonly historyVersionsMax: number;
  /** The leader's time, in milliseconds since the epoch: never goes back while the process lives. */
  readonly nowMs: () => number;
}

/**
 * Puts `command` into the log.
 *
 * @returns once it is committed and applied here.
 * @throws {AshlarError} the refusal, where the state machine refused it; TOO_LARGE;
 *   VERSION_MISMATCH if other members may not know the command yet; what
 *   `Consensus.propose` throws.
 */
export async function propose(
  { consensus, namespace }: Pick<MasterDeps, "consensus" | "namespace">,
  command: Command,
): Promise<Success> {
  checkCommandLevel(command.kind, namespace().featureLevel);
  const bytes = encodeCommand(command);
  if (bytes.length > WIRE_COMMAND_BYTES_MAX) {
    throw new AshlarError(
      "TOO_LARGE",
      `Cannot commit a change of ${bytes.length} bytes: expected at most ${WIRE_COMMAND_BYTES_MAX}`,
      { hint: "Split the transaction into smaller ones" },
    );
  }
  const { outcome } = await consensus.propose(bytes);
  return successOf(outcome as Outcome);
}

function successOf(outcome: Outcome): Success {
  if (outcome.ok) return outcome;
  const { code, message, details, operationIndex } = outcome;
  throw new AshlarError(code, message, {
    details: operationIndex === null ? details : { ...details, operationIndex },
  });
}

function masterRemoved(masters: readonly string[]): AshlarError {
  return new AshlarError(
    "MASTER_REMOVED",
    "Cannot serve this here: this master was removed from the cluster",
    {
      ...(masters.length === 0 ? {} : { hint: `The masters are ${masters.join(", ")}` }),
      details: { masters },
    },
  );
}

/**
 * @throws {AshlarError} NOT_LEADER, with the leader's address if it is known; MASTER_REMOVED;
 *   NO_LEADER before it is ready.
 */
export function requireLeader(consensus: Consensus): void {
  const { role, isReady, leaderAddress, memberPhase, masters } = consensus.status();
  if (role !== "leader") {
    if (memberPhase === "removed") throw masterRemoved(masters);
    throw new AshlarError("NOT_LEADER", "Cannot serve this here: this master is not the leader", {
      details: leaderAddress === null ? { masters } : { masters, leaderAddress },
    });
  }
  if (!isReady) {
    throw new AshlarError("NO_LEADER", "Cannot serve this yet: the leader was just elected");
  }
}

/** @throws {AshlarError} NO_LEADER before the first leader has made the cluster. */
export function requireFacts(namespace: Namespace): ClusterFacts {
  const facts = namespace.clusterFacts();
  if (facts === undefined) {
    throw new AshlarError("NO_LEADER", "Cannot serve this yet: the cluster is being made");
  }
  return facts;
}
