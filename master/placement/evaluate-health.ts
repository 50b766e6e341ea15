import type { ServerId } from "../../shared/base/ids.ts";

/** What the leader thinks of a chunkserver. Never in the log, never used for safety. */
export type Liveness =
  | "live"
  /** Silent for a while: no new chunks go there, nothing is repaired yet. */
  | "suspect"
  /** Silent for so long that its copies do not count. */
  | "dead"
  /** It said goodbye: silent on purpose. Its copies do not count; repair waits longer. */
  | "stopped";

export interface LivenessTimes {
  readonly suspectMs: number;
  readonly deadMs: number;
  /** Repair of a dead server's chunks begins so long after it died. */
  readonly repairDelayMs: number;
  /** The same after a goodbye. */
  readonly repairDelayStoppedMs: number;
}

export interface ServerContact {
  /** When it was last heard, on the leader's monotonic clock; null: never by this leader. */
  readonly lastContactMs: number | null;
  readonly isShutDown: boolean;
}

/**
 * The verdict on one server.
 *
 * @param observedFromMs silence before this moment does not count: the leader was not the leader yet,
 *   or its own event loop stood still, so that it could not hear.
 */
export function evaluateLiveness(
  contact: ServerContact,
  times: LivenessTimes,
  moment: { readonly nowMs: number; readonly observedFromMs: number },
): Liveness {
  if (contact.isShutDown) return "stopped";
  const silentMs = silenceMs(contact, moment);
  if (silentMs >= times.deadMs) return "dead";
  return silentMs >= times.suspectMs ? "suspect" : "live";
}

/** How long the server has been silent while the leader could hear it. */
function silenceMs(
  contact: ServerContact,
  moment: { readonly nowMs: number; readonly observedFromMs: number },
): number {
  const sinceMs = Math.max(contact.lastContactMs ?? moment.observedFromMs, moment.observedFromMs);
  return Math.max(0, moment.nowMs - sinceMs);
}

/** Whether the copies on a dead or stopped server should be made anew now. */
export function isRepairDue(
  contact: ServerContact,
  times: LivenessTimes,
  moment: { readonly nowMs: number; readonly observedFromMs: number },
): boolean {
  const verdict = evaluateLiveness(contact, times, moment);
  if (verdict === "live" || verdict === "suspect") return false;
  const waitMs = contact.isShutDown
    ? times.repairDelayStoppedMs
    : times.deadMs + times.repairDelayMs;
  return silenceMs(contact, moment) >= waitMs;
}

/**
 * Whether so many servers vanished together that it is rather the network or the leader: repair
 * then stops until a person looks, since copying the cluster onto what is left would fill it.
 *
 * One lost server is never a mass loss.
 */
export function isMassLoss(deadCount: number, serverCount: number, shareMax: number): boolean {
  return deadCount > 1 && deadCount > serverCount * shareMax;
}

export interface HealthFacts {
  readonly mastersTotal: number;
  readonly mastersReachable: number;
  readonly servers: readonly {
    readonly serverId: ServerId;
    readonly liveness: Liveness;
    readonly isDiskFailed: boolean;
  }[];
  readonly chunksUnderReplicated: number;
  readonly chunksLost: number;
  readonly copiesMin: number;
  readonly isMassLoss: boolean;
}

export interface Health {
  readonly word: "ok" | "degraded" | "critical";
  readonly reasons: readonly string[];
}

/** The health of the whole in one word, and every reason for it. */
export function evaluateHealth(facts: HealthFacts): Health {
  const critical: string[] = [];
  const degraded: string[] = [];
  const alive = facts.servers.filter((server) => server.liveness === "live");
  const live = alive.length;
  const failed = alive.filter((server) => server.isDiskFailed).length;
  if (facts.chunksLost > 0)
    critical.push(`${count(facts.chunksLost, "chunk")} without a live copy`);
  if (live - failed < facts.copiesMin) {
    const taking = count(live - failed, failed === 0 ? "live chunkserver" : "chunkserver");
    const those = failed === 0 ? "" : " with a sound disk";
    critical.push(`only ${taking}${those}: a write needs at least ${facts.copiesMin}`);
  }
  if (facts.isMassLoss) critical.push("many chunkservers vanished together: repair waits for you");
  const mastersDown = facts.mastersTotal - facts.mastersReachable;
  if (mastersDown > 0) degraded.push(`${mastersDown} of ${facts.mastersTotal} masters unreachable`);
  const down = facts.servers.length - live;
  if (down > 0) degraded.push(`${down} of ${facts.servers.length} chunkservers not live`);
  if (failed > 0) degraded.push(`${count(failed, "chunkserver")} with a failed disk`);
  if (facts.chunksUnderReplicated > 0) {
    degraded.push(`${count(facts.chunksUnderReplicated, "chunk")} below the wanted copies`);
  }
  const reasons = [...critical, ...degraded];
  if (critical.length > 0) return { word: "critical", reasons };
  return { word: degraded.length > 0 ? "degraded" : "ok", reasons };
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
