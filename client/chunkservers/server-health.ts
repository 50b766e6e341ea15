import { assert } from "../../shared/base/assert.ts";
import type { ServerId } from "../../shared/base/ids.ts";

/** Penalty after the first failure. Doubles with each consecutive failure, up to the maximum. */
const PENALTY_MS_MIN = 1_000;
const PENALTY_MS_MAX = 30_000;
/** Latencies kept per server. */
const SAMPLES_MAX = 64;
/** Minimum delay before a hedged read: below it, a second read costs more than the wait. */
const HEDGE_MS_MIN = 50;
/** Delay before a hedged read while a server has fewer than `HEDGE_SAMPLES_MIN` samples. */
const HEDGE_MS_UNKNOWN = 400;
const HEDGE_SAMPLES_MIN = 8;
/** Hedges allowed per answered read: hedges add at most a tenth to the load. */
const HEDGE_SHARE = 0.1;
const HEDGE_CREDIT_MAX = 8;

interface ServerRecord {
  failuresInRow: number;
  penaltyEndsAtMs: number;
  /** Pending reads and writes. */
  inFlight: number;
  /** Ring buffer of the last latencies, in milliseconds. */
  readonly samples: number[];
  nextSample: number;
  /** Cached 95th percentile of `samples`. Null after a new sample. */
  p95Ms: number | null;
}

/** A chunkserver that can serve a request. */
export interface Candidate {
  readonly serverId: ServerId;
  /** Host name under which the server is registered. */
  readonly host: string;
  /** Whether the masters consider the server live. */
  readonly isLive: boolean;
}

/**
 * Recent failures and latencies of chunkservers, as this client has seen them. Pure: the caller
 * passes the time (monotonic milliseconds) and the randomness.
 */
export class ServerHealth {
  readonly #records = new Map<ServerId, ServerRecord>();
  #hedgeCredit = HEDGE_CREDIT_MAX / 2;

  /** Penalizes the server, longer for each consecutive failure. */
  recordFailure(serverId: ServerId, nowMs: number): void {
    const record = this.#record(serverId);
    record.failuresInRow += 1;
    const doublings = Math.min(record.failuresInRow - 1, 10);
    record.penaltyEndsAtMs = nowMs + Math.min(PENALTY_MS_MAX, PENALTY_MS_MIN * 2 ** doublings);
  }

  /** Ends the penalty: the server has completed a request. */
  recordSuccess(serverId: ServerId): void {
    const record = this.#record(serverId);
    record.failuresInRow = 0;
    record.penaltyEndsAtMs = 0;
  }

  /** Records the time from a read request to its first bytes. */
  recordLatency(serverId: ServerId, latencyMs: number): void {
    assert(latencyMs >= 0, "a latency is not negative");
    const record = this.#record(serverId);
    record.samples[record.nextSample] = latencyMs;
    record.nextSample = (record.nextSample + 1) % SAMPLES_MAX;
    record.p95Ms = null;
    this.#hedgeCredit = Math.min(HEDGE_CREDIT_MAX, this.#hedgeCredit + HEDGE_SHARE);
  }

  /** Counts a request as pending until `recordEnd`. */
  recordStart(serverId: ServerId): void {
    this.#record(serverId).inFlight += 1;
  }

  /** Ends a request that was counted by `recordStart`. */
  recordEnd(serverId: ServerId): void {
    const record = this.#record(serverId);
    record.inFlight -= 1;
    assert(record.inFlight >= 0, "a request that ends was started");
  }

  /** Returns whether the server failed recently. */
  isPenalized(serverId: ServerId, nowMs: number): boolean {
    return (this.#records.get(serverId)?.penaltyEndsAtMs ?? 0) > nowMs;
  }

  /** Returns the servers that failed recently. New chunks should avoid them. */
  penalizedServers(nowMs: number): ServerId[] {
    return [...this.#records.keys()].filter((serverId) => this.isPenalized(serverId, nowMs));
  }

  /** Returns how long to wait for the first bytes of a server before a second server is asked. */
  hedgeAfterMs(serverId: ServerId): number {
    const record = this.#records.get(serverId);
    if (record === undefined || record.samples.length < HEDGE_SAMPLES_MIN) return HEDGE_MS_UNKNOWN;
    record.p95Ms ??= percentile95(record.samples);
    return Math.max(HEDGE_MS_MIN, 1.5 * record.p95Ms);
  }

  /** Spends the credit for one hedge. Returns false if there is not enough credit. */
  tryAcquireHedge(): boolean {
    if (this.#hedgeCredit < 1) return false;
    this.#hedgeCredit -= 1;
    return true;
  }

  /**
   * Returns the servers sorted by preference: not penalized, live for the masters, on this machine,
   * fewest pending requests. Equal servers are in random order.
   */
  orderByPreference<Server extends Candidate>(
    servers: readonly Server[],
    context: {
      readonly nowMs: number;
      readonly hostName: string;
      readonly fraction: () => number;
    },
  ): Server[] {
    const ranked = servers.map((server) => ({
      server,
      rank: [
        this.isPenalized(server.serverId, context.nowMs) ? 1 : 0,
        server.isLive ? 0 : 1,
        server.host === context.hostName ? 0 : 1,
        this.#records.get(server.serverId)?.inFlight ?? 0,
        context.fraction(),
      ],
    }));
    ranked.sort((left, right) => compareRanks(left.rank, right.rank));
    return ranked.map(({ server }) => server);
  }

  #record(serverId: ServerId): ServerRecord {
    let record = this.#records.get(serverId);
    if (record === undefined) {
      record = {
        failuresInRow: 0,
        penaltyEndsAtMs: 0,
        inFlight: 0,
        samples: [],
        nextSample: 0,
        p95Ms: null,
      };
      this.#records.set(serverId, record);
    }
    return record;
  }
}

function percentile95(samples: readonly number[]): number {
  const sorted = samples.toSorted((left, right) => left - right);
  return sorted[Math.floor((sorted.length - 1) * 0.95)] ?? 0;
}

function compareRanks(left: readonly number[], right: readonly number[]): number {
  for (const [index, value] of left.entries()) {
    const difference = value - (right[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
