import type { ServerId } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { HeartbeatRequest } from "../../shared/protocol/fleet-api.ts";
import type { ServerLocation } from "../../shared/protocol/intent.ts";
import type { FleetView, ServerSpace, ServerStatus } from "../fleet-view.ts";
import type { Candidate } from "../placement/choose-servers.ts";
import {
  evaluateLiveness,
  isRepairDue,
  type Liveness,
  type LivenessTimes,
} from "../placement/evaluate-health.ts";

interface RegisteredServer {
  location: ServerLocation;
  space: ServerSpace;
  isDiskFailed: boolean;
  chunkCount: number;
  activeWrites: number;
  /** Monotonic; null if this leader has not heard it yet. */
  lastContactMs: number | null;
  isShutDown: boolean;
}

const NO_SPACE: ServerSpace = { totalBytes: 0, availableBytes: 0, usedBytes: 0 };

/** A server is suspected after so many heartbeats that did not come. */
const HEARTBEATS_TO_SUSPECT = 4;
/** However quickly servers are to be suspected, and however slowly. */
const HEARTBEAT_MS_MIN = 50;
const HEARTBEAT_MS_MAX = 5_000;

/**
 * Chunkservers as the leader sees them. Soft state: a new leader starts with the servers that the
 * log knows, hears them within a heartbeat, and judges none of them before a full interval is over.
 */
export class Registry implements FleetView {
  readonly #clock: Clock;
  readonly #times: LivenessTimes;
  readonly #servers = new Map<ServerId, RegisteredServer>();
  #observedFromMs: number;

  constructor(options: { readonly clock: Clock; readonly times: LivenessTimes }) {
    this.#clock = options.clock;
    this.#times = options.times;
    this.#observedFromMs = options.clock.monotonicMs();
  }

  get heartbeatIntervalMs(): number {
    const intervalMs = Math.floor(this.#times.suspectMs / HEARTBEATS_TO_SUSPECT);
    return Math.min(HEARTBEAT_MS_MAX, Math.max(HEARTBEAT_MS_MIN, intervalMs));
  }

  /** After winning an election, or after a stall of our own: nobody was silent before now. */
  startGracePeriod(known: readonly ServerLocation[]): void {
    this.#observedFromMs = this.#clock.monotonicMs();
    for (const location of known) this.#serverAt(location);
  }

  recordRegistration(location: ServerLocation, space: ServerSpace): void {
    const facts = this.#serverAt(location);
    facts.location = location;
    facts.space = space;
    facts.isDiskFailed = false; // Its heartbeats tell.
    facts.lastContactMs = this.#clock.monotonicMs();
    facts.isShutDown = false;
  }

  /** @returns false if the server has not registered with this leader: it must do so first. */
  recordHeartbeat(beat: HeartbeatRequest): boolean {
    const facts = this.#servers.get(beat.serverId);
    if (facts === undefined || facts.lastContactMs === null) return false;
    facts.space = beat.space;
    facts.isDiskFailed = beat.isDiskFailed;
    facts.chunkCount = beat.chunkCount;
    facts.activeWrites = beat.activeWrites;
    facts.lastContactMs = this.#clock.monotonicMs();
    facts.isShutDown = false;
    return true;
  }

  recordGoodbye(serverId: ServerId): void {
    const facts = this.#servers.get(serverId);
    if (facts === undefined) return;
    facts.isShutDown = true;
    facts.lastContactMs = this.#clock.monotonicMs();
  }

  /** Counts a placement at once, before the next heartbeat tells of it: bursts spread. */
  countPlacement(serverIds: readonly ServerId[]): void {
    for (const serverId of serverIds) {
      const facts = this.#servers.get(serverId);
      if (facts !== undefined) facts.activeWrites += 1;
    }
  }

  liveness(serverId: ServerId): Liveness {
    const facts = this.#servers.get(serverId);
    return facts === undefined
      ? "dead"
      : evaluateLiveness(facts, this.#times, this.#observationTime());
  }

  /** Whether a copy on this server counts now: it answers, or has been silent for a moment only. */
  isAvailable(serverId: ServerId): boolean {
    const verdict = this.liveness(serverId);
    return verdict === "live" || verdict === "suspect";
  }

  isRepairDue(serverId: ServerId): boolean {
    const facts = this.#servers.get(serverId);
    return facts !== undefined && isRepairDue(facts, this.#times, this.#observationTime());
  }

  servers(): readonly ServerStatus[] {
    return [...this.#servers.values()];
  }

  location(serverId: ServerId): ServerLocation | undefined {
    return this.#servers.get(serverId)?.location;
  }

  /** Servers that may take new chunks: live, with a sound disk and room for one of `chunkBytes`. */
  candidates(chunkBytes: number, exclude: ReadonlySet<ServerId> = new Set()): Candidate[] {
    const candidates: Candidate[] = [];
    for (const facts of this.#servers.values()) {
      const { location, space, isDiskFailed, activeWrites } = facts;
      if (exclude.has(location.serverId) || space.availableBytes < chunkBytes) continue;
      if (isDiskFailed) continue;
      if (this.liveness(location.serverId) !== "live") continue;
      candidates.push({ location, availableBytes: space.availableBytes, activeWrites });
    }
    return candidates;
  }

  silentMs(serverId: ServerId): number | null {
    const lastContactMs = this.#servers.get(serverId)?.lastContactMs ?? null;
    return lastContactMs === null ? null : Math.round(this.#clock.monotonicMs() - lastContactMs);
  }

  #observationTime(): { nowMs: number; observedFromMs: number } {
    return { nowMs: this.#clock.monotonicMs(), observedFromMs: this.#observedFromMs };
  }

  #serverAt(location: ServerLocation): RegisteredServer {
    const known = this.#servers.get(location.serverId);
    if (known !== undefined) return known;
    const facts: RegisteredServer = {
      location,
      space: NO_SPACE,
      chunkCount: 0,
      isDiskFailed: false,
      activeWrites: 0,
      lastContactMs: null,
      isShutDown: false,
    };
    this.#servers.set(location.serverId, facts);
    return facts;
  }
}
