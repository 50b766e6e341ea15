import type { ServerId } from "../../shared/base/ids.ts";

/** The leader's assessment of a chunkserver. Never in the log, never used for safety. */
export type Liveness =
  | "live"
  /** Silent for `suspectMs`. The server gets no new chunks, and its copies still count. */
  | "suspect"
  /** Silent for `deadMs`. The copies of the server do not count. */
  | "dead"
  /** Shut down cleanly. The copies of the server do not count, and repair waits longer. */
  | "stopped";

/** Durations of silence after which a chunkserver changes its state. */
export interface LivenessTimes {
  readonly suspectMs: number;
  readonly deadMs: number;
  /** Delay between the death of a server and the repair of its chunks. */
  readonly repairDelayMs: number;
  /** Delay between a clean shutdown of a server and the repair of its chunks. */
  readonly repairDelayStoppedMs: number;
}

/** The last contact with a chunkserver. */
export interface ServerContact {
  /** Time of the last message, on the leader's monotonic clock; null if there was none. */
  readonly lastContactMs: number | null;
  /** Whether the last message was the notice of a clean shutdown. */
  readonly isShutDown: boolean;
}

/** Times of an assessment, on the leader's monotonic clock. */
export interface ObservationTimes {
  readonly nowMs: number;
  /**
   * Silence before this time does not count: this member was not the leader yet, or its event loop
   * was stalled, so it could not receive messages.
   */
  readonly observedFromMs: number;
}

/** Returns the liveness of one server. */
export function evaluateLiveness(
  contact: ServerContact,
  times: LivenessTimes,
  observation: ObservationTimes,
): Liveness {
  if (contact.isShutDown) return "stopped";
  const silentMs = silenceMs(contact, observation);
  if (silentMs >= times.deadMs) return "dead";
  return silentMs >= times.suspectMs ? "suspect" : "live";
}

/** Returns how long the server has been silent while the leader could receive its messages. */
function silenceMs(contact: ServerContact, { nowMs, observedFromMs }: ObservationTimes): number {
  const sinceMs = Math.max(contact.lastContactMs ?? observedFromMs, observedFromMs);
  return Math.max(0, nowMs - sinceMs);
}

/** Returns whether the copies on a dead or stopped server must be replaced now. */
export function isRepairDue(
  contact: ServerContact,
  times: LivenessTimes,
  observation: ObservationTimes,
): boolean {
  const liveness = evaluateLiveness(contact, times, observation);
  if (liveness === "live" || liveness === "suspect") return false;
  const waitMs = contact.isShutDown
    ? times.repairDelayStoppedMs
    : times.deadMs + times.repairDelayMs;
  return silenceMs(contact, observation) >= waitMs;
}

/**
 * Returns whether the share of dead servers exceeds `shareMax`. A failure of the network or of the
 * leader is then the more likely cause. Repair is halted until an operator acts, because copying
 * all chunks of these servers would fill the remaining servers.
 *
 * One dead server is never a mass loss.
 */
export function isMassLoss(deadCount: number, serverCount: number, shareMax: number): boolean {
  return deadCount > 1 && deadCount > serverCount * shareMax;
}

/** Input of `evaluateHealth`. */
export interface HealthFacts {
  readonly mastersTotal: number;
  readonly mastersReachable: number;
  readonly servers: readonly {
    readonly serverId: ServerId;
    readonly liveness: Liveness;
    readonly isDiskFailed: boolean;
  }[];
  readonly chunksUnderReplicated: number;
  /** Chunks without a live copy. */
  readonly chunksLost: number;
  /** Number of copies that a write needs. */
  readonly copiesMin: number;
  readonly isMassLoss: boolean;
}

/** Health of the cluster. The field names are those of the wire. */
export interface Health {
  readonly word: "ok" | "degraded" | "critical";
  /** One text for each problem, the critical ones first. */
  readonly reasons: readonly string[];
}

/** Returns the health of the cluster: the most severe problem decides `word`. */
export function evaluateHealth(facts: HealthFacts): Health {
  const critical: string[] = [];
  const degraded: string[] = [];
  const alive = facts.servers.filter((server) => server.liveness === "live");
  const live = alive.length;
  const failed = alive.filter((server) => server.isDiskFailed).length;
  if (facts.chunksLost > 0)
    critical.push(`${count(facts.chunksLost, "chunk")} without a live copy`);
  if (live - failed < facts.copiesMin) {
    const usable = count(live - failed, failed === 0 ? "live chunkserver" : "chunkserver");
    const suffix = failed === 0 ? "" : " without a failed disk";
    critical.push(`only ${usable}${suffix}: a write needs at least ${facts.copiesMin}`);
  }
  if (facts.isMassLoss) critical.push("many chunkservers are dead at once: repair is halted");
  const mastersDown = facts.mastersTotal - facts.mastersReachable;
  if (mastersDown > 0) degraded.push(`${mastersDown} of ${facts.mastersTotal} masters unreachable`);
  const down = facts.servers.length - live;
  if (down > 0) degraded.push(`${down} of ${facts.servers.length} chunkservers not live`);
  if (failed > 0) degraded.push(`${count(failed, "chunkserver")} with a failed disk`);
  if (facts.chunksUnderReplicated > 0) {
    degraded.push(`${count(facts.chunksUnderReplicated, "chunk")} with too few copies`);
  }
  const reasons = [...critical, ...degraded];
  if (critical.length > 0) return { word: "critical", reasons };
  return { word: degraded.length > 0 ? "degraded" : "ok", reasons };
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
