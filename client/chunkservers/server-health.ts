import { assert } from "../../shared/base/assert.ts";
import type { ServerId } from "../../shared/base/ids.ts";

/** A failure counts for so long; it doubles with every further one in a row. */
const PENALTY_MS_MIN = 1_000;
const PENALTY_MS_MAX = 30_000;
const SAMPLES_MAX = 64;
/** No hedge before so long, however fast a server was: a second read costs more than the wait. */
const HEDGE_MS_MIN = 50;
/** Until enough is known of a server. */
const HEDGE_MS_UNKNOWN = 400;
const HEDGE_SAMPLES_MIN = 8;
/** Hedges that are allowed for each read that ended: so they add at most a tenth to the load. */
const HEDGE_SHARE = 0.1;
const HEDGE_CREDIT_MAX = 8;

interface ServerRecord {
  failuresInRow: number;
  penaltyEndsAtMs: number;
  /** Reads and writes under way. */
  inFlight: number;
  /** The last latencies in milliseconds, a ring. */
  readonly samples: number[];
  nextSample: number;
  /** Null: to be computed again. */
  p95Ms: number | null;
}

export interface Candidate {
  readonly serverId: ServerId;
  readonly host: string;
  /** What the master thinks. */
  readonly isLive: boolean;
}

/**
 * What this client remembers of chunkservers: who failed it a moment ago, and how fast they are.
 * Pure: the caller brings the time (monotonic milliseconds) and the chance.
 */
export class ServerHealth {
  readonly #records = new Map<ServerId, ServerRecord>();
  #hedgeCredit = HEDGE_CREDIT_MAX / 2;

  recordFailure(serverId: ServerId, nowMs: number): void {
    const record = this.#record(serverId);
    record.failuresInRow += 1;
    const doublings = Math.min(record.failuresInRow - 1, 10);
    record.penaltyEndsAtMs = nowMs + Math.min(PENALTY_MS_MAX, PENALTY_MS_MIN * 2 ** doublings);
  }

  /** It did what it was asked for. */
  recordSuccess(serverId: ServerId): void {
    const record = this.#record(serverId);
    record.failuresInRow = 0;
    record.penaltyEndsAtMs = 0;
  }

  /** Time from asking for bytes to the first of them. */
  recordLatency(serverId: ServerId, latencyMs: number): void {
    assert(latencyMs >= 0, "an answer comes after the question");
    const record = this.#record(serverId);
    record.samples[record.nextSample] = latencyMs;
    record.nextSample = (record.nextSample + 1) % SAMPLES_MAX;
    record.p95Ms = null;
    this.#hedgeCredit = Math.min(HEDGE_CREDIT_MAX, this.#hedgeCredit + HEDGE_SHARE);
  }

  recordStart(serverId: ServerId): void {
    this.#record(serverId).inFlight += 1;
  }

  recordEnd(serverId: ServerId): void {
    const record = this.#record(serverId);
    record.inFlight -= 1;
    assert(record.inFlight >= 0, "what ends has begun");
  }

  isPenalized(serverId: ServerId, nowMs: number): boolean {
    return (this.#records.get(serverId)?.penaltyEndsAtMs ?? 0) > nowMs;
  }

  /** Servers that failed a moment ago: not for new chunks. */
  penalizedServers(nowMs: number): ServerId[] {
    return [...this.#records.keys()].filter((serverId) => this.isPenalized(serverId, nowMs));
  }

  /** How long to wait for a server's first bytes before another one is asked too. */
  hedgeAfterMs(serverId: ServerId): number {
    const record = this.#records.get(serverId);
    if (record === undefined || record.samples.length < HEDGE_SAMPLES_MIN) return HEDGE_MS_UNKNOWN;
    record.p95Ms ??= percentile95(record.samples);
    return Math.max(HEDGE_MS_MIN, 1.5 * record.p95Ms);
  }

  /** Takes the credit for one hedge; false if there is none. */
  tryAcquireHedge(): boolean {
    if (this.#hedgeCredit < 1) return false;
    this.#hedgeCredit -= 1;
    return true;
  }

  /**
   * The servers in the order in which to ask them: those without a recent failure, alive to the
   * master, on this machine, with the least under way; by chance among equals.
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
  for (const [place, value] of left.entries()) {
    const difference = value - (right[place] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
