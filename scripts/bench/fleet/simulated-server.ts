import { setTimeout as sleep } from "node:timers/promises";
import type { LocalCluster } from "../../../client/cli/cluster/local-cluster.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { ChunkId, Digest } from "../../../shared/base/ids.ts";
import { heartbeat, type Order, register } from "../../../shared/protocol/fleet-api.ts";
import type { ServerLocation } from "../../../shared/protocol/intent.ts";
import { WireCaller } from "./wire-caller.ts";

type Heartbeat = ReturnType<(typeof heartbeat)["parseRequest"]>;

const TIB = 1024 ** 4;
/** Space that each server reports. */
const SPACE = { totalBytes: 8 * TIB, availableBytes: 4 * TIB, usedBytes: 4 * TIB };
/** Largest number of reports in one list of a heartbeat, as a chunkserver sends. */
const REPORTS_MAX = 1_000;
const CALL_TIMEOUT_MS = 3_000;

/**
 * A chunkserver as the masters see it: registers, sends heartbeats and reports its orders as done in
 * the next heartbeat. It stores nothing.
 */
export class SimulatedServer {
  readonly location: ServerLocation;
  /** Chunks of which it has a copy, for its reports. */
  chunkCount = 0;
  #copiedCount = 0;
  #credential: Digest | null = null;
  readonly #joinToken: string;
  readonly #caller: WireCaller;
  readonly #onCopyOrder: (chunkId: ChunkId) => void;
  readonly #stop = new AbortController();
  readonly #copied = new Map<string, Heartbeat["copied"][number]>();
  readonly #purged = new Map<string, Heartbeat["purged"][number]>();
  #chunkKey: Uint8Array = new Uint8Array();
  #intervalMs = 0;
  #registeredWith: string | null = null;
  #lastHeartbeatMs = 0;
  #running: Promise<void> = Promise.resolve();

  constructor(
    cluster: LocalCluster,
    location: ServerLocation,
    options: {
      readonly joinToken: string;
      /** Called for each copy that a heartbeat answer orders. */
      readonly onCopyOrder: (chunkId: ChunkId) => void;
    },
  ) {
    this.#joinToken = options.joinToken;
    this.location = location;
    this.#caller = new WireCaller(cluster, "chunkserver", location.serverId);
    this.#onCopyOrder = options.onCopyOrder;
  }

  /** Key of receipts. Empty before the first registration. */
  get chunkKey(): Uint8Array {
    return this.#chunkKey;
  }

  /** Number of ordered copies that the leader has recorded. */
  get copiedCount(): number {
    return this.#copiedCount;
  }

  /** Interval of the heartbeats, as the leader stated it. */
  get intervalMs(): number {
    return this.#intervalMs;
  }

  /** Time of the last heartbeat that was sent, on the clock of `performance.now()`. */
  get lastHeartbeatMs(): number {
    return this.#lastHeartbeatMs;
  }

  /**
   * Registers, and sends heartbeats until `stop`. Resolves after the registration.
   *
   * @param phase share of the interval to wait before the first heartbeat, 0 to 1: spreads a fleet
   */
  async start(phase: number): Promise<void> {
    await this.#register();
    this.#running = this.#run(phase);
  }

  /** Falls silent without a goodbye, as a server that lost its power. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    await this.#caller[Symbol.asyncDispose]();
  }

  async #run(phase: number): Promise<void> {
    const { signal } = this.#stop;
    let dueMs = performance.now() + phase * this.#intervalMs;
    while (!signal.aborted) {
      await sleep(Math.max(0, dueMs - performance.now()), undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      dueMs = Math.max(dueMs + this.#intervalMs, performance.now());
      await this.#beat();
    }
  }

  async #beat(): Promise<void> {
    try {
      if (this.#caller.leaderAddress !== this.#registeredWith) await this.#register();
      await this.#sendHeartbeat();
    } catch (error) {
      // Without a leader the next heartbeat tries again.
      if (!isAshlarError(error)) throw error;
      if (error.code === "NOT_FOUND") this.#registeredWith = null;
    }
  }

  async #register(): Promise<void> {
    const answer = await this.#registerOnce();
    if (answer.credential === undefined) return;
    this.#credential = answer.credential;
    await this.#registerOnce();
  }

  async #registerOnce() {
    const proof = { credential: this.#credential, token: this.#joinToken };
    const request = { server: this.location, clusterId: null, space: SPACE, proof };
    const answer = await this.#caller.call(register, request);
    this.#chunkKey = answer.chunkKey;
    this.#intervalMs = answer.heartbeatIntervalMs;
    this.#registeredWith = this.#caller.leaderAddress;
    return answer;
  }

  async #sendHeartbeat(): Promise<void> {
    const copied = [...this.#copied.values()].slice(0, REPORTS_MAX);
    const purged = [...this.#purged.values()].slice(0, REPORTS_MAX);
    this.#lastHeartbeatMs = performance.now();
    const { orders } = await this.#caller.call(
      heartbeat,
      {
        serverId: this.location.serverId,
        space: SPACE,
        isDiskFailed: false,
        chunkCount: this.chunkCount,
        activeWrites: 0,
        copied,
        copyFailed: [],
        lost: [],
        purged,
      },
      CALL_TIMEOUT_MS,
    );
    this.#copiedCount += copied.length;
    for (const { chunkId } of copied) this.#copied.delete(chunkId);
    for (const { chunkId } of purged) this.#purged.delete(chunkId);
    for (const order of orders) this.#carryOut(order);
  }

  #carryOut(order: Order): void {
    const { chunkId } = order;
    if (order.kind === "purge") {
      this.#purged.set(chunkId, { chunkId, purgeIndex: order.purgeIndex });
      return;
    }
    this.#onCopyOrder(chunkId);
    this.chunkCount += 1;
    this.#copied.set(chunkId, { chunkId, intentIndex: order.intentIndex });
  }
}
