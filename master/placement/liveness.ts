/** The leader's assessment of a chunkserver. Never in the log, never used for safety. */
export type Liveness =
  | "live"
  /** Silent for `suspectMs`. The server gets no new chunks, and its copies still count. */
  | "suspect"
  /** Silent for `deadMs`. The copies of the server do not count. */
  | "dead"
  /** Shut down cleanly. The copies of the server do not count, and repair waits longer. */
  | "stopped"
  /**
   * Runs, and its messages are refused because it has not enrolled. Its copies do not count. Repair waits as
   * for a dead server.
   */
  | "refused";

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
  /** Time of the last message, on the clock of `ObservationTimes`; null if there was none. */
  readonly lastContactMs: number | null;
  /** Whether the last message was the notice of a clean shutdown. */
  readonly isShutDown: boolean;
  /** Whether its messages are refused. */
  readonly isRefused: boolean;
}

/** Times of an assessment, on a clock of the leader that stands still while it is stalled. */
export interface ObservationTimes {
  readonly nowMs: number;
  /** Silence before this time does not count: this member was not the leader yet. */
  readonly observedFromMs: number;
}

/** Returns the liveness of one server. */
export function evaluateLiveness(
  contact: ServerContact,
  times: LivenessTimes,
  observation: ObservationTimes,
): Liveness {
  if (contact.isShutDown) return "stopped";
  if (contact.isRefused) return "refused";
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
 * Returns whether the share of dead servers exceeds `shareMax` of the servers that were alive
 * recently. A failure of the network or of the leader is then the more likely cause. Repair is
 * halted, because copying all chunks of these servers would fill the remaining servers.
 *
 * One dead server is never a mass loss.
 */
export function isMassLoss(deadCount: number, serverCount: number, shareMax: number): boolean {
  return deadCount > 1 && deadCount > serverCount * shareMax;
}
