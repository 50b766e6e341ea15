import type { ServerId } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Random } from "../../shared/ports/random.ts";
import type { HeartbeatRequest } from "../../shared/protocol/fleet-api.ts";
import type { ServerLocation } from "../../shared/protocol/intent.ts";
import type {
  ChainRequest,
  FleetView,
  ServerSpace,
  ServerStatus,
  Settling,
} from "../fleet-view.ts";
import { chooseServers } from "../placement/choose-servers.ts";
import {
  evaluateLiveness,
  isRepairDue,
  type Liveness,
  type LivenessTimes,
} from "../placement/liveness.ts";
import { PlacementTable } from "../placement/placement-table.ts";

/** The soft state of one chunkserver. */
interface RegisteredServer {
  location: ServerLocation;
  space: ServerSpace;
  isDiskFailed: boolean;
  unreadableCount: number;
  capabilities: ReadonlySet<string>;
  chunkCount: number;
  activeWrites: number;
  /**
   * Listening time of the last message, see `Registry`. Null if this leader has not received a
   * message yet.
   */
  lastContactMs: number | null;
  /** Listening time of the last heartbeat, which says whether the disk works. Null if there was none. */
  lastHeartbeatMs: number | null;
  /** Whether the server announced a graceful stop. */
  isShutDown: boolean;
  /** Whether its messages have been refused since the last one that was accepted. */
  isRefused: boolean;
}

const NO_SPACE: ServerSpace = { totalBytes: 0, availableBytes: 0, usedBytes: 0 };

/** Number of missing heartbeats after which a server is suspected. */
const HEARTBEATS_TO_SUSPECT = 4;
/** Time for which a server that was alive counts in the share of dead servers. */
const RECENTLY_MS = 60 * 60 * 1_000;
/** Limits of the heartbeat interval, in milliseconds, for any value of `suspectMs`. */
const HEARTBEAT_MS_MIN = 50;
const HEARTBEAT_MS_MAX = 5_000;

/**
 * The chunkservers and their liveness. Soft state of the leader: a new leader starts with the
 * recorded servers, receives a registration of each live server within a heartbeat interval, and
 * considers no server suspect or dead before a full interval has passed.
 *
 * All times are listening time: the monotonic time minus the stalls of this process, in which it
 * could receive no message. So a stall makes no server silent, and it brings no silent server back.
 */
export class Registry implements FleetView {
  readonly #clock: Clock;
  readonly #times: LivenessTimes;
  readonly #random: Pick<Random, "fraction">;
  readonly #servers = new Map<ServerId, RegisteredServer>();
  /** The servers for new chunks. Silence is noticed when a server is drawn. */
  readonly #placement = new PlacementTable();
  /** Sum of all stalls of this process. */
  #stalledMs = 0;
  #observedFromMs: number;
  #term = -1;
  #termStartedMs = Number.NEGATIVE_INFINITY;

  constructor(options: {
    readonly clock: Clock;
    readonly random: Pick<Random, "fraction">;
    readonly times: LivenessTimes;
  }) {
    this.#clock = options.clock;
    this.#random = options.random;
    this.#times = options.times;
    this.#observedFromMs = options.clock.monotonicMs();
  }

  get heartbeatIntervalMs(): number {
    const intervalMs = Math.floor(this.#times.suspectMs / HEARTBEATS_TO_SUSPECT);
    return Math.min(HEARTBEAT_MS_MAX, Math.max(HEARTBEAT_MS_MIN, intervalMs));
  }

  beginTerm(term: number, known: () => readonly ServerLocation[]): void {
    if (term === this.#term) return;
    this.#term = term;
    this.#observedFromMs = this.#listeningMs();
    this.#termStartedMs = this.#observedFromMs;
    const recorded = known();
    const ids = new Set(recorded.map(({ serverId }) => serverId));
    // Another leader may have removed servers.
    for (const serverId of this.#servers.keys()) if (!ids.has(serverId)) this.remove(serverId);
    for (const location of recorded) this.#serverOf(location);
  }

  settling(): Settling | null {
    const leaderForMs = Math.round(this.#listeningMs() - this.#termStartedMs);
    if (leaderForMs >= this.#times.deadMs) return null;
    const servers = [...this.#servers.values()];
    const heardCount = servers.filter((server) => this.#isHeard(server)).length;
    return heardCount === servers.length ? null : { leaderForMs, heardCount };
  }

  #isHeard({ lastContactMs }: RegisteredServer): boolean {
    return lastContactMs !== null && lastContactMs >= this.#termStartedMs;
  }

  /** Forgives every server the silence of the last `stalledMs`: no message could be received. */
  forgiveStall(stalledMs: number): void {
    this.#stalledMs += stalledMs;
  }

  recordRegistration(
    location: ServerLocation,
    space: ServerSpace,
    capabilities: readonly string[] = [],
  ): void {
    const server = this.#serverOf(location);
    server.capabilities = new Set(capabilities);
    server.location = location;
    server.space = space;
    // Its heartbeats report whether the disk works again, for instance after a restart.
    server.lastContactMs = this.#listeningMs();
    server.isShutDown = false;
    server.isRefused = false;
    this.#updatePlacement(server);
  }

  /** Records a heartbeat. @returns false if the server has not registered with this leader yet */
  recordHeartbeat(heartbeat: HeartbeatRequest): boolean {
    const server = this.#servers.get(heartbeat.serverId);
    if (server === undefined || server.lastContactMs === null) return false;
    server.space = heartbeat.space;
    server.isDiskFailed = heartbeat.isDiskFailed;
    server.unreadableCount = heartbeat.unreadableCount ?? 0;
    server.chunkCount = heartbeat.chunkCount;
    server.activeWrites = heartbeat.activeWrites;
    server.lastContactMs = this.#listeningMs();
    server.lastHeartbeatMs = server.lastContactMs;
    server.isShutDown = false;
    server.isRefused = false;
    this.#updatePlacement(server);
    return true;
  }

  recordGoodbye(serverId: ServerId): void {
    const server = this.#servers.get(serverId);
    if (server === undefined) return;
    server.isShutDown = true;
    server.lastContactMs = this.#listeningMs();
    this.#updatePlacement(server);
  }

  recordRefusal(serverId: ServerId): void {
    const server = this.#servers.get(serverId);
    if (server === undefined) return;
    server.isRefused = true;
    this.#updatePlacement(server);
  }

  liveness(serverId: ServerId): Liveness {
    const server = this.#servers.get(serverId);
    return server === undefined
      ? "dead"
      : evaluateLiveness(server, this.#times, this.#observationTime());
  }

  /**
   * Returns whether the copies on this server count as live: the server is live or only suspect, and
   * its disk has not failed.
   */
  isAvailable(serverId: ServerId): boolean {
    return this.isReachable(serverId) && this.#servers.get(serverId)?.isDiskFailed === false;
  }

  hasCertainCopies(serverId: ServerId): boolean {
    const server = this.#servers.get(serverId);
    if (server === undefined || server.isDiskFailed || this.liveness(serverId) !== "live")
      return false;
    return server.lastHeartbeatMs !== null && server.lastHeartbeatMs >= this.#termStartedMs;
  }

  /** Returns whether the server can send its copies. The copies on a failed disk may be readable. */
  isReachable(serverId: ServerId): boolean {
    const liveness = this.liveness(serverId);
    return liveness === "live" || liveness === "suspect";
  }

  /**
   * Returns whether the copies on an unavailable server must be replaced now. Those on a failed disk
   * and those on an unknown server have no delay: a restart does not bring them back.
   */
  isRepairDue(serverId: ServerId): boolean {
    const server = this.#servers.get(serverId);
    if (server === undefined || server.isDiskFailed) return true;
    return isRepairDue(server, this.#times, this.#observationTime());
  }

  /**
   * Returns whether the server was alive within the last hour. A new leader presumes that every
   * recorded server was alive when its term started.
   */
  wasRecentlyAlive(serverId: ServerId): boolean {
    const server = this.#servers.get(serverId);
    if (server === undefined) return false;
    const aliveMs = Math.max(server.lastContactMs ?? this.#termStartedMs, this.#termStartedMs);
    return this.#listeningMs() - aliveMs < RECENTLY_MS;
  }

  remove(serverId: ServerId): void {
    this.#placement.remove(serverId);
    this.#servers.delete(serverId);
  }

  servers(): readonly ServerStatus[] {
    return [...this.#servers.values()];
  }

  location(serverId: ServerId): ServerLocation | undefined {
    return this.#servers.get(serverId)?.location;
  }

  chooseServers(request: ChainRequest): ServerLocation[] {
    const silent: ServerId[] = [];
    const chain = chooseServers({
      ...request,
      table: this.#placement,
      fraction: () => this.#random.fraction(),
      isEligible: ({ location: { serverId }, availableBytes }) => {
        if (availableBytes < request.chunkBytes || request.exclude.has(serverId)) return false;
        if (this.liveness(serverId) === "live") return true;
        silent.push(serverId);
        return false;
      },
    });
    for (const serverId of silent) this.#placement.suspend(serverId);
    for (const { serverId } of chain.slice(request.keep.length)) {
      const server = this.#servers.get(serverId);
      if (server === undefined) continue;
      server.activeWrites += 1;
      this.#updatePlacement(server);
    }
    return chain;
  }

  silentMs(serverId: ServerId): number | null {
    const server = this.#servers.get(serverId);
    if (server === undefined || server.lastContactMs === null || !this.#isHeard(server))
      return null;
    return Math.round(Math.max(0, this.#listeningMs() - server.lastContactMs));
  }

  /** Applies the facts of a server to its share of new chunks. A silent server gets none. */
  #updatePlacement(server: RegisteredServer): void {
    const { location, space, activeWrites, capabilities } = server;
    const { serverId } = location;
    if (server.isDiskFailed || this.liveness(serverId) !== "live") {
      this.#placement.suspend(serverId);
      return;
    }
    const { availableBytes } = space;
    this.#placement.update({ location, availableBytes, activeWrites, capabilities });
  }

  #observationTime(): { nowMs: number; observedFromMs: number } {
    return { nowMs: this.#listeningMs(), observedFromMs: this.#observedFromMs };
  }

  #listeningMs(): number {
    return this.#clock.monotonicMs() - this.#stalledMs;
  }

  /** Returns the soft state of a server. Adds the server if it is not known. */
  #serverOf(location: ServerLocation): RegisteredServer {
    const known = this.#servers.get(location.serverId);
    if (known !== undefined) return known;
    const server: RegisteredServer = {
      location,
      space: NO_SPACE,
      chunkCount: 0,
      isDiskFailed: false,
      unreadableCount: 0,
      capabilities: new Set(),
      activeWrites: 0,
      lastContactMs: null,
      lastHeartbeatMs: null,
      isShutDown: false,
      isRefused: false,
    };
    this.#servers.set(location.serverId, server);
    return server;
  }
}
