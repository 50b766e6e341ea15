import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { Digest, LogIndex } from "../../shared/base/ids.ts";
import { Deferred } from "../../shared/flow/deferred.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { Log } from "../../shared/ports/log.ts";
import { CAPABILITIES } from "../../shared/protocol/capabilities.ts";
import { firstChunkKeys } from "../../shared/protocol/chunk-keys.ts";
import {
  confirmChunks,
  goodbye,
  heartbeat,
  REPORTS_SENT_MAX,
  register,
  UNREADABLE_MAX,
} from "../../shared/protocol/fleet-api.ts";
import type { ServerLocation } from "../../shared/protocol/intent.ts";
import type { CallMethod } from "../../shared/protocol/method.ts";
import { SHORT_TEXT_LENGTH_MAX } from "../../shared/protocol/schemas.ts";
import type { LeaderChannel } from "../../shared/wire/leader-channel.ts";
import type { HeldKeys } from "../pipeline/held-keys.ts";
import type { ChunkStore } from "../store/chunk-store.ts";
import type { Credential } from "../store/credential.ts";
import type { ChunkConfirmation } from "../store/replicas.ts";
import type { OrderResults } from "./order-results.ts";
import type { Orders } from "./orders.ts";

const CALL_TIMEOUT_MS = 3_000;
const GOODBYE_TIMEOUT_MS = 1_000;
const HEARTBEAT_INTERVAL_MS_DEFAULT = 500;
const HEARTBEAT_INTERVAL_MS_MAX = 10_000;
/** Delay before the master is asked again about an undecided chunk. */
const UNDECIDED_MS = 60_000;

/** Dependencies of `MasterLink`. */
export interface MasterLinkDeps {
  readonly store: ChunkStore;
  readonly channel: Pick<LeaderChannel, "call" | "leaderAddress">;
  readonly location: ServerLocation;
  readonly results: OrderResults;
  readonly keys: HeldKeys;
  readonly credential: Credential;
  /** Proves once that this server may enrol. Null if the operator gave none. */
  readonly joinToken: string | null;
  readonly hasher: Pick<Hasher, "hash">;
  readonly log: Log;
  /** Returns the number of writes and copies in progress. */
  readonly activeWrites: () => number;
}

/** The calls of this server to the leader: registration, heartbeats, confirmations, goodbye. */
export class MasterLink {
  readonly #options: MasterLinkDeps;
  /** See `restoreId` of `fleet.register`. Null before the first registration. */
  #restoreId: Uint8Array | null = null;
  /** The intent floor in the last answer of a leader. Null if it has none. */
  #intentFloor: LogIndex | null = null;
  #intervalMs = HEARTBEAT_INTERVAL_MS_DEFAULT;
  /** Whether the leader wants this server to enrol. It does with its next heartbeat. */
  #shouldEnrol = false;
  /** Whether the last attempt to store a credential failed. It is logged once. */
  #isCredentialLost = false;
  /** Address of the leader that has registered this server. Null if none has. */
  #registeredWith: string | null = null;
  #problem: string | null = "not registered with a leader yet";
  readonly #serving = new Deferred<void>();

  constructor(options: MasterLinkDeps) {
    this.#options = options;
  }

  /** Interval of the heartbeats, as the leader set it. */
  get heartbeatIntervalMs(): number {
    return this.#intervalMs;
  }

  /** See `restoreId` of `fleet.register`. Null before the first registration. */
  get restoreId(): Uint8Array | null {
    return this.#restoreId;
  }

  /** No commit under an older intent can succeed. Null if the leader has not stated it. */
  get intentFloor(): LogIndex | null {
    return this.#intentFloor;
  }

  /** Resolves when a leader has answered a heartbeat for the first time. Never rejects. */
  get serving(): Promise<void> {
    return this.#serving.promise;
  }

  /** Reason why the leader may not know this server. Null if the last heartbeat was answered. */
  get problem(): string | null {
    return this.#problem;
  }

  /**
   * Registers with a new leader if necessary, sends a heartbeat, and starts the orders that the
   * answer contains.
   */
  async heartbeat(orders: Orders, signal: AbortSignal): Promise<void> {
    const { channel } = this.#options;
    try {
      const isKnown =
        this.#registeredWith !== null && channel.leaderAddress === this.#registeredWith;
      if (!isKnown || this.#shouldEnrol) await this.#register(signal);
      await this.#sendHeartbeatOrRegister(orders, signal);
      this.#problem = null;
      this.#serving.resolve();
    } catch (error) {
      if (error instanceof AshlarError) this.#problem = problemOf(error);
      const mustRegister =
        isAshlarError(error, "NOT_FOUND") || isAshlarError(error, "NOT_ENROLLED");
      if (mustRegister) this.#registeredWith = null;
      throw error;
    }
  }

  /**
   * Sends a heartbeat. Registers first if the leader does not know this server: the connection is new,
   * the leader was restarted, or another master has its address now.
   */
  async #sendHeartbeatOrRegister(orders: Orders, signal: AbortSignal): Promise<void> {
    try {
      await this.#sendHeartbeat(orders, signal);
    } catch (error) {
      if (!isAshlarError(error, "NOT_FOUND")) throw error;
      await this.#register(signal);
      await this.#sendHeartbeat(orders, signal);
    }
  }

  /**
   * Asks the leader about the sealed chunks that are not confirmed and whose intent has expired. Asks
   * about all chunks after a restore of the masters, and at the first start of this version. Keeps or
   * deletes each chunk as the leader decides. Resolves with the number of chunks of this step; 0 if
   * nothing is left to do.
   */
  async confirm(signal: AbortSignal): Promise<number> {
    const { store } = this.#options;
    if (this.#registeredWith === null || this.#restoreId === null) return 0;
    const againCount = await store.confirmAgain(this.#restoreId, REPORTS_SENT_MAX);
    const chunks = store.unconfirmed(REPORTS_SENT_MAX);
    if (chunks.length === 0) return againCount;
    const request = { serverId: store.serverId, chunks: [...chunks] };
    const { verdicts } = await this.call(confirmChunks, request, signal);
    if (verdicts.length !== chunks.length) {
      throw new AshlarError(
        "PROTOCOL_ERROR",
        `Cannot use the leader's answer: expected ${chunks.length} verdicts: current value is ${verdicts.length}`,
      );
    }
    const confirmations: ChunkConfirmation[] = [];
    for (const [position, chunk] of chunks.entries()) {
      confirmations.push({ ...chunk, verdict: verdicts[position] ?? "undecided" });
    }
    await store.applyConfirmations(confirmations, UNDECIDED_MS);
    return chunks.length;
  }

  /** Notifies the leader of a planned stop. Best effort: no guarantee depends on it. */
  async sendGoodbye(): Promise<void> {
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

  /** Registers. A server that gets a credential stores it and proves it in a second registration. */
  async #register(signal: AbortSignal): Promise<void> {
    const credential = await this.#registerOnce(signal);
    if (credential === null || !(await this.#saveCredential(credential))) return;
    await this.#registerOnce(signal);
    this.#options.log.info("This server has enrolled");
  }

  /** @returns whether the credential is durable. Without it the server enrols again later */
  async #saveCredential(value: Digest): Promise<boolean> {
    const { credential, log, store } = this.#options;
    try {
      await credential.save(value);
      this.#isCredentialLost = false;
      return true;
    } catch (error) {
      if (!isAshlarError(error)) throw error;
      store.noteWriteFailure(error);
      if (!this.#isCredentialLost) {
        const fields = { code: error.code, reason: error.message };
        log.warn("Cannot store the credential of this server", fields);
      }
      this.#isCredentialLost = true;
      return false;
    }
  }

  /** @returns the credential that the leader gives to this server. Null if the server has proved it */
  async #registerOnce(signal: AbortSignal): Promise<Digest | null> {
    const { channel, credential, hasher, joinToken, keys, location, store } = this.#options;
    const request = {
      server: location,
      clusterId: store.clusterId,
      space: await store.space(),
      capabilities: [...CAPABILITIES],
      proof: { credential: credential.value, token: joinToken },
    };
    const answer = await this.call(register, request, signal);
    if (store.clusterId !== null && store.clusterId !== answer.clusterId) {
      throw new AshlarError(
        "WRONG_CLUSTER",
        `Cannot register: expected masters of cluster ${store.clusterId}, to which this disk belongs: current value is ${answer.clusterId}`,
        {
          hint: "Correct the list of masters, or use an empty data directory to join this cluster",
        },
      );
    }
    await store.joinCluster(answer.clusterId);
    const { chunkKey } = answer;
    const restoreId = answer.restoreId ?? hasher.hash(chunkKey);
    await this.#noteRestore(restoreId);
    keys.replace(answer.chunkKeys ?? firstChunkKeys(chunkKey));
    this.#restoreId = restoreId;
    this.#intervalMs = Math.min(
      Math.max(answer.heartbeatIntervalMs, 10),
      HEARTBEAT_INTERVAL_MS_MAX,
    );
    this.#registeredWith = channel.leaderAddress;
    return answer.credential ?? null;
  }

  /** A server whose disk is full or has failed registers without the note: it still serves reads. */
  async #noteRestore(restoreId: Uint8Array): Promise<void> {
    const { store } = this.#options;
    try {
      await store.noteRestore(restoreId);
    } catch (error) {
      if (!isAshlarError(error)) throw error;
      store.noteWriteFailure(error);
    }
  }

  async #sendHeartbeat(orders: Orders, signal: AbortSignal): Promise<void> {
    const { store, results, activeWrites, keys } = this.#options;
    const reported = results.pending();
    const losses = store.lossReport(REPORTS_SENT_MAX);
    const unreadable = store.unreadableReport(UNREADABLE_MAX);
    const request = {
      serverId: store.serverId,
      space: await store.space(),
      isDiskFailed: store.failure !== null,
      unreadableCount: store.unreadableCount,
      chunkCount: store.totals.chunkCount,
      activeWrites: activeWrites(),
      chunkKeyVersions: keys.versions,
      ...reported,
      lost: losses.lost.map(({ chunkId, reason, intentIndex }) => ({
        chunkId,
        reason: reason.slice(0, SHORT_TEXT_LENGTH_MAX),
        ...(intentIndex === null ? {} : { intentIndex }),
      })),
      unreadable: unreadable.map((copy) => ({
        ...copy,
        reason: copy.reason.slice(0, SHORT_TEXT_LENGTH_MAX),
      })),
    };
    const answer = await this.call(heartbeat, request, signal);
    if (answer.chunkKeys !== undefined) keys.replace(answer.chunkKeys);
    keys.recordAnswer(this.#intervalMs);
    this.#shouldEnrol = answer.enrol;
    results.acknowledge(reported);
    this.#intentFloor = answer.intentFloor ?? null;
    await store.answerLosses(losses, { intentFloor: answer.intentFloor });
    await store.answerUnreadable(unreadable);
    orders.accept(answer.orders);
  }

  /** Calls the leader. */
  async call<Request, Response>(
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

/** `/readyz` and `ashlar cluster start` show it: for a server that has not enrolled, with how to enrol. */
function problemOf({ code, message, hint }: AshlarError): string {
  return code === "NOT_ENROLLED" && hint !== undefined ? `${message}; ${hint}` : message;
}
