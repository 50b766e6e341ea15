import type { ServerId } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { HeartbeatRequest } from "../../shared/protocol/fleet-api.ts";
import type { ServerLocation } from "../../shared/protocol/intent.ts";
import type { FleetView, ServerFacts, ServerSpace } from "../fleet-view.ts";
import type { Candidate } from "../placement/choose-servers.ts";
import {
  isRepairDue,
  judgeLiveness,
  type Liveness,
  type LivenessTimes,
} from "../placement/judge-health.ts";

interface HeardServer {
  location: ServerLocation;
  space: ServerSpace;
  isDiskFailed: boolean;
  chunkCount: number;
  activeWrites: number;
  /** Monotonic; null if this leader has not heard it yet. */
  heardMs: number | null;
  saidGoodbye: boolean;
}

const NO_SPACE: ServerSpace = { totalBytes: 0, availableBytes: 0, usedBytes: 0 };

/** A server is suspected after so many heartbeats that did not come. */
const BEATS_TO_SUSPICION = 4;
/** However quickly servers are to be suspected, and however slowly. */
const BEAT_MS_MIN = 50;
const BEAT_MS_MAX = 5_000;

/**
 * Chunkservers as the leader sees them. Soft state: a new leader starts with the servers that the
 * log knows, hears them within a heartbeat, and judges none of them before a full interval is over.
 */
export class Registry implements FleetView {
  readonly #clock: Clock;
  readonly #times: LivenessTimes;
  readonly #servers = new Map<ServerId, HeardServer>();
  #judgeFromMs: number;

  constructor(options: { readonly clock: Clock; readonly times: LivenessTimes }) {
    this.#clock = options.clock;
    this.#times = options.times;
    this.#judgeFromMs = options.clock.monotonicMs();
  }

  get heartbeatIntervalMs(): number {
    const intervalMs = Math.floor(this.#times.suspectMs / BEATS_TO_SUSPICION);
    return Math.min(BEAT_MS_MAX, Math.max(BEAT_MS_MIN, intervalMs));
  }

  /** After winning an election, or after a stall of our own: nobody was silent before now. */
  startListening(known: readonly ServerLocation[]): void {
    this.#judgeFromMs = this.#clock.monotonicMs();
    for (const location of known) this.#facts(location);
  }

  heard(location: ServerLocation, space: ServerSpace): void {
    const facts = this.#facts(location);
    facts.location = location;
    facts.space = space;
    facts.isDiskFailed = false; // Its heartbeats tell.
    facts.heardMs = this.#clock.monotonicMs();
    facts.saidGoodbye = false;
  }

  /** @returns false if the server has not registered with this leader: it must do so first. */
  heardBeat(beat: HeartbeatRequest): boolean {
    const facts = this.#servers.get(beat.serverId);
    if (facts === undefined || facts.heardMs === null) return false;
    facts.space = beat.space;
    facts.isDiskFailed = beat.isDiskFailed;
    facts.chunkCount = beat.chunkCount;
    facts.activeWrites = beat.activeWrites;
    facts.heardMs = this.#clock.monotonicMs();
    facts.saidGoodbye = false;
    return true;
  }

  saidGoodbye(serverId: ServerId): void {
    const facts = this.#servers.get(serverId);
    if (facts === undefined) return;
    facts.saidGoodbye = true;
    facts.heardMs = this.#clock.monotonicMs();
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
    return facts === undefined ? "dead" : judgeLiveness(facts, this.#times, this.#moment());
  }

  /** Whether a copy on this server counts now: it answers, or has been silent for a moment only. */
  counts(serverId: ServerId): boolean {
    const verdict = this.liveness(serverId);
    return verdict === "live" || verdict === "suspect";
  }

  isRepairDue(serverId: ServerId): boolean {
    const facts = this.#servers.get(serverId);
    return facts !== undefined && isRepairDue(facts, this.#times, this.#moment());
  }

  all(): readonly ServerFacts[] {
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

  heardMsAgo(serverId: ServerId): number | null {
    const heardMs = this.#servers.get(serverId)?.heardMs ?? null;
    return heardMs === null ? null : Math.round(this.#clock.monotonicMs() - heardMs);
  }

  #moment(): { nowMs: number; judgeFromMs: number } {
    return { nowMs: this.#clock.monotonicMs(), judgeFromMs: this.#judgeFromMs };
  }

  #facts(location: ServerLocation): HeardServer {
    const known = this.#servers.get(location.serverId);
    if (known !== undefined) return known;
    const facts: HeardServer = {
      location,
      space: NO_SPACE,
      chunkCount: 0,
      isDiskFailed: false,
      activeWrites: 0,
      heardMs: null,
      saidGoodbye: false,
    };
    this.#servers.set(location.serverId, facts);
    return facts;
  }
}
