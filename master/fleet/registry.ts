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
  chunkCount: number;
  activeWrites: number;
  /** Monotonic time of the last message. Null if this leader has not received a message yet. */
  lastContactMs: number | null;
  /** Whether the server announced a graceful stop. */
  isShutDown: boolean;
}

const NO_SPACE: ServerSpace = { totalBytes: 0, availableBytes: 0, usedBytes: 0 };

/** Number of missing heartbeats after which a server is suspected. */
const HEARTBEATS_TO_SUSPECT = 4;
/** Limits of the heartbeat interval, in milliseconds, for any value of `suspectMs`. */
const HEARTBEAT_MS_MIN = 50;
const HEARTBEAT_MS_MAX = 5_000;

/**
 * The chunkservers and their liveness. Soft state of the leader: a new leader starts with the
 * recorded servers, receives a registration of each live server within a heartbeat interval, and
 * considers no server suspect or dead before a full interval has passed.
 */
export class Registry implements FleetView {
  readonly #clock: Clock;
  readonly #times: LivenessTimes;
  readonly #random: Pick<Random, "fraction">;
  readonly #servers = new Map<ServerId, RegisteredServer>();
  /** The servers for new chunks. Silence is noticed when a server is drawn. */
  readonly #placement = new PlacementTable();
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
    this.startGracePeriod(known());
    this.#termStartedMs = this.#observedFromMs;
  }

  settling(): Settling | null {
    const leaderForMs = Math.round(this.#clock.monotonicMs() - this.#termStartedMs);
    if (leaderForMs >= this.#times.deadMs) return null;
    const servers = [...this.#servers.values()];
    const heardCount = servers.filter((server) => this.#isHeard(server)).length;
    return heardCount === servers.length ? null : { leaderForMs, heardCount };
  }

  #isHeard({ lastContactMs }: RegisteredServer): boolean {
    return lastContactMs !== null && lastContactMs >= this.#termStartedMs;
  }

  /**
   * Starts the observation of silence now, after an election or after a local stall. Silence before
   * this call does not count.
   *
   * @param known the recorded servers
   */
  startGracePeriod(known: readonly ServerLocation[]): void {
    this.#observedFromMs = this.#clock.monotonicMs();
    for (const location of known) this.#serverOf(location);
  }

  recordRegistration(location: ServerLocation, space: ServerSpace): void {
    const server = this.#serverOf(location);
    server.location = location;
    server.space = space;
    server.isDiskFailed = false; // The next heartbeat reports it again.
    server.lastContactMs = this.#clock.monotonicMs();
    server.isShutDown = false;
    this.#updatePlacement(server);
  }

  /** Records a heartbeat. @returns false if the server has not registered with this leader yet */
  recordHeartbeat(heartbeat: HeartbeatRequest): boolean {
    const server = this.#servers.get(heartbeat.serverId);
    if (server === undefined || server.lastContactMs === null) return false;
    server.space = heartbeat.space;
    server.isDiskFailed = heartbeat.isDiskFailed;
    server.chunkCount = heartbeat.chunkCount;
    server.activeWrites = heartbeat.activeWrites;
    server.lastContactMs = this.#clock.monotonicMs();
    server.isShutDown = false;
    this.#updatePlacement(server);
    return true;
  }

  recordGoodbye(serverId: ServerId): void {
    const server = this.#servers.get(serverId);
    if (server === undefined) return;
    server.isShutDown = true;
    server.lastContactMs = this.#clock.monotonicMs();
    this.#updatePlacement(server);
  }

  liveness(serverId: ServerId): Liveness {
    const server = this.#servers.get(serverId);
    return server === undefined
      ? "dead"
      : evaluateLiveness(server, this.#times, this.#observationTime());
  }

  /**
   * Returns whether the copies on this server count as live: the server is live or only suspect.
   */
  isAvailable(serverId: ServerId): boolean {
    const liveness = this.liveness(serverId);
    return liveness === "live" || liveness === "suspect";
  }

  isRepairDue(serverId: ServerId): boolean {
    const server = this.#servers.get(serverId);
    return server !== undefined && isRepairDue(server, this.#times, this.#observationTime());
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
    return Math.round(this.#clock.monotonicMs() - server.lastContactMs);
  }

  /** Applies the facts of a server to its share of new chunks. A silent server gets none. */
  #updatePlacement(server: RegisteredServer): void {
    const { location, space, activeWrites } = server;
    const { serverId } = location;
    if (server.isDiskFailed || this.liveness(serverId) !== "live") {
      this.#placement.suspend(serverId);
      return;
    }
    this.#placement.update({ location, availableBytes: space.availableBytes, activeWrites });
  }

  #observationTime(): { nowMs: number; observedFromMs: number } {
    return { nowMs: this.#clock.monotonicMs(), observedFromMs: this.#observedFromMs };
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
      activeWrites: 0,
      lastContactMs: null,
      isShutDown: false,
    };
    this.#servers.set(location.serverId, server);
    return server;
  }
}
