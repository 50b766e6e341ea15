import { unreachable } from "../../shared/base/assert.ts";
import type { Change } from "./change.ts";
import { addReplicas, dropReplicas, finishPurges } from "./chunks.ts";
import {
  bootstrap,
  putStorageClass,
  raiseFeatureLevel,
  raiseIntentFloor,
  setHistoryRetention,
} from "./cluster.ts";
import type { Command, Outcome } from "./command.ts";
import { applyEnrolmentChange } from "./enrolment.ts";
import { recordTime, stepClock } from "./history-floor.ts";
import { reclaim } from "./reclaim.ts";
import { Refusal, refusal } from "./refusal.ts";
import { registerServer, removeServer } from "./servers.ts";
import { applyOnce, closeSession, expireSessions, keepSession, openSession } from "./sessions.ts";
import { refusedOutcome, transact } from "./transaction.ts";

/**
 * Applies one committed command and returns its outcome. A refused command changes only two things:
 * its session stores the outcome, and the state takes over the leader's time.
 */
export function applyCommand(change: Change, command: Command): Outcome {
  const outcome = applyOrRefuse(change, command);
  change.endCostLimit();
  if ("nowMs" in command && command.kind !== "reclaim" && change.clusterFacts !== undefined) {
    recordTime(change);
  }
  return outcome;
}

function applyOrRefuse(change: Change, command: Command): Outcome {
  try {
    if (command.kind !== "bootstrap" && change.clusterFacts === undefined)
      throw missingClusterRefusal(command);
    return dispatch(change, command);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    change.rollback();
    return refusedOutcome(change, error);
  }
}

const missingClusterRefusal = (command: Command): Refusal =>
  refusal("cluster-missing", { command: command.kind });

function dispatch(change: Change, command: Command): Outcome {
  switch (command.kind) {
    case "transact":
      return applyOnce(change, command.attempt, () => transact(change, command));
    case "define-storage-class":
      return applyOnce(change, command.attempt, () => {
        return runOrRefuse(change, () => putStorageClass(change, command.storageClass));
      });
    case "set-history-retention":
      return applyOnce(change, command.attempt, () => {
        return runOrRefuse(change, () => setHistoryRetention(change, command));
      });
    default:
      applySessionless(change, command);
      return successOutcome(change);
  }
}

type SessionlessCommand = Exclude<
  Command,
  { kind: "transact" | "define-storage-class" | "set-history-retention" }
>;

/** Applies a command that belongs to no client session. */
function applySessionless(change: Change, command: SessionlessCommand): void {
  switch (command.kind) {
    case "bootstrap":
      bootstrap(change, command);
      break;
    case "open-session":
      openSession(change, command);
      break;
    case "keep-session":
      keepSession(change, command);
      break;
    case "close-session":
      closeSession(change, command);
      break;
    case "expire-sessions":
      expireSessions(change, command);
      break;
    case "register-server":
      registerServer(change, command);
      break;
    case "remove-server":
      removeServer(change, command);
      break;
    case "add-replicas":
      change.limitCost();
      addReplicas(change, command);
      break;
    case "drop-replicas":
      change.limitCost();
      dropReplicas(change, command);
      break;
    case "finish-purges":
      change.limitCost();
      finishPurges(change, command);
      break;
    case "raise-intent-floor":
      raiseIntentFloor(change, command);
      break;
    case "reclaim":
      reclaim(change, command);
      break;
    case "step-clock":
      stepClock(change, command);
      break;
    case "checkpoint":
      break; // `Namespace` compares the state hashes. The command changes no record.
    case "raise-feature-level":
      raiseFeatureLevel(change, command);
      break;
    case "change-enrolment":
      applyEnrolmentChange(change, command.change);
      break;
    default:
      unreachable(command);
  }
}

/** Runs `run` and turns its refusal into an outcome, which the session stores like a success. */
function runOrRefuse(change: Change, run: () => void): Outcome {
  try {
    run();
    return successOutcome(change);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    change.rollback();
    return refusedOutcome(change, error);
  }
}

const successOutcome = (change: Change): Outcome => ({
  ok: true,
  index: change.index,
  results: [],
});
