import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import { confirmChunks, goodbye, heartbeat, register } from "../../shared/protocol/fleet-api.ts";
import type { ServerLocation } from "../../shared/protocol/intent.ts";
import type { CallMethod } from "../../shared/protocol/method.ts";
import type { LeaderChannel } from "../../shared/wire/leader-channel.ts";
import type { ChunkStore } from "../store/chunk-store.ts";
import type { Verdict } from "../store/copies.ts";
import type { Facts } from "./facts.ts";
import type { Orders } from "./orders.ts";

const CALL_TIMEOUT_MS = 3_000;
const GOODBYE_TIMEOUT_MS = 1_000;
const HEARTBEAT_INTERVAL_MS_DEFAULT = 500;
const HEARTBEAT_INTERVAL_MS_MAX = 10_000;
/** Losses told in one heartbeat. */
const LOST_MAX = 1000;
/** Chunks asked about in one call. */
const CONFIRM_MAX = 1000;
/** An undecided chunk is asked about again after so long. */
const UNDECIDED_MS = 60_000;

export interface MasterLinkOptions {
  readonly store: ChunkStore;
  readonly channel: Pick<LeaderChannel, "call" | "leaderAddress">;
  readonly location: ServerLocation;
  readonly facts: Facts;
  /** Writes and copies under way. */
  readonly activeWrites: () => number;
}

/** What this server says to the leader and hears from it. */
export class MasterLink {
  readonly #options: MasterLinkOptions;
  #chunkKey: Uint8Array | null = null;
  #intervalMs = HEARTBEAT_INTERVAL_MS_DEFAULT;
  /** The leader that knows us; null: none that we know of. */
  #registeredWith: string | null = null;
  #problem: string | null = "not registered with a leader yet";

  constructor(options: MasterLinkOptions) {
    this.#options = options;
  }

  /** The key of intents and receipts; null before the first registration. */
  get chunkKey(): Uint8Array | null {
    return this.#chunkKey;
  }

  get heartbeatIntervalMs(): number {
    return this.#intervalMs;
  }

  /** Why the leader may not know of this server; null: the last heartbeat was answered. */
  get problem(): string | null {
    return this.#problem;
  }

  /** Registers if the leader is another one, tells it what happened, and takes its orders. */
  async beat(orders: Orders, signal: AbortSignal): Promise<void> {
    const { channel } = this.#options;
    try {
      const isKnown =
        this.#registeredWith !== null && channel.leaderAddress === this.#registeredWith;
      if (!isKnown) await this.#register(signal);
      await this.#heartbeat(orders, signal);
      this.#problem = null;
    } catch (error) {
      if (error instanceof AshlarError) this.#problem = error.message;
      // A new leader behind the same address, or one that was restarted.
      if (isAshlarError(error, "NOT_FOUND")) this.#registeredWith = null;
      throw error;
    }
  }

  /**
   * Asks about chunks that were sealed and never seen in a commit, once their intent is over, and
   * keeps or deletes them. Resolves with how many were asked about.
   */
  async confirm(signal: AbortSignal): Promise<number> {
    const { store } = this.#options;
    const chunks = store.unconfirmed(CONFIRM_MAX);
    if (chunks.length === 0 || this.#registeredWith === null) return 0;
    const request = { serverId: store.serverId, chunks: [...chunks] };
    const { verdicts } = await this.#call(confirmChunks, request, signal);
    if (verdicts.length !== chunks.length) {
      throw new AshlarError(
        "PROTOCOL_ERROR",
        `Cannot use the leader's verdicts: expected ${chunks.length}: got ${verdicts.length}`,
      );
    }
    const decided: Verdict[] = [];
    for (const [position, chunk] of chunks.entries()) {
      decided.push({ ...chunk, verdict: verdicts[position] ?? "undecided" });
    }
    await store.applyVerdicts(decided, UNDECIDED_MS);
    return chunks.length;
  }

  /** Tells the leader that the silence that follows is meant. Nothing depends on its arrival. */
  async sayGoodbye(): Promise<void> {
    const { channel, store } = this.#options;
    if (this.#registeredWith === null) return;
    const request = { serverId: store.serverId };
    try {
      const reply = await channel.call(goodbye, request, { timeoutMs: GOODBYE_TIMEOUT_MS });
      reply.release();
    } catch (error) {
      if (!isAshlarError(error)) throw error;
    }
  }

  async #register(signal: AbortSignal): Promise<void> {
    const { store, location, channel } = this.#options;
    const request = {
      server: location,
      clusterId: store.clusterId,
      space: await store.space(),
    };
    const answer = await this.#call(register, request, signal);
    if (store.clusterId !== null && store.clusterId !== answer.clusterId) {
      throw new AshlarError(
        "WRONG_CLUSTER",
        `Cannot register: this disk belongs to cluster ${store.clusterId}: the masters are of ${answer.clusterId}`,
        {
          hint: "Correct the list of masters, or use an empty data directory to join this cluster",
        },
      );
    }
    await store.joinCluster(answer.clusterId);
    this.#chunkKey = answer.chunkKey;
    this.#intervalMs = Math.min(
      Math.max(answer.heartbeatIntervalMs, 10),
      HEARTBEAT_INTERVAL_MS_MAX,
    );
    this.#registeredWith = channel.leaderAddress;
  }

  async #heartbeat(orders: Orders, signal: AbortSignal): Promise<void> {
    const { store, facts, activeWrites } = this.#options;
    const told = facts.told();
    const lost = store.lost(LOST_MAX);
    const request = {
      serverId: store.serverId,
      space: await store.space(),
      isDiskFailed: store.failure !== null,
      chunkCount: store.tally.chunkCount,
      activeWrites: activeWrites(),
      ...told,
      lost: lost.map(({ chunkId, reason }) => ({ chunkId, reason: reason.slice(0, 300) })),
    };
    const answer = await this.#call(heartbeat, request, signal);
    facts.answered(told);
    await store.forgetLost(lost.map(({ chunkId }) => chunkId));
    orders.take(answer.orders);
  }

  async #call<Request, Response>(
    method: CallMethod<Request, Response>,
    request: Request,
    signal: AbortSignal,
  ): Promise<Response> {
    const options = { timeoutMs: CALL_TIMEOUT_MS, signal, idempotent: true };
    const reply = await this.#options.channel.call(method, request, options);
    reply.release();
    return reply.head;
  }
}
