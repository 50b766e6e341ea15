import { fromHex } from "../../../shared/base/bytes.ts";
import { AshlarError } from "../../../shared/base/errors.ts";
import type { ChunkId, Digest, LogIndex, ServerId } from "../../../shared/base/ids.ts";
import { SystemClock } from "../../../shared/platform/system-clock.ts";
import { TcpNetwork } from "../../../shared/platform/tcp-network.ts";
import type { ChunkKeys } from "../../../shared/protocol/chunk-keys.ts";
import * as fleet from "../../../shared/protocol/fleet-api.ts";
import { type Intent, type ServerLocation, signIntent } from "../../../shared/protocol/intent.ts";
import { RpcServer } from "../../../shared/wire/rpc-server.ts";
import { CLUSTER_A, makeWireDeps } from "../../support/wire-fixture.ts";
import { hasher } from "./chunks.ts";

export const CHUNK_KEY = fromHex("42".repeat(32));

/** A master that serves fleet-api to chunkservers. The test controls its answers. */
export class FakeMaster implements AsyncDisposable {
  readonly #server: RpcServer;
  readonly servers = new Map<ServerId, ServerLocation>();
  readonly heartbeats: fleet.HeartbeatRequest[] = [];
  /** Orders sent once, with the next heartbeat of the server. */
  readonly orders = new Map<ServerId, fleet.Order[]>();
  readonly goodbyes: ServerId[] = [];
  /** The proof of each registration. */
  readonly proofs: unknown[] = [];
  /** The versions of the chunk key. Undefined below feature level 13. */
  chunkKeys: ChunkKeys | undefined;
  /** The credential of every server: given to a server that does not prove it. */
  credential: Digest | null = null;
  /** The error of every registration. Null: servers are registered. */
  refusal: AshlarError | null = null;
  /** Whether heartbeats ask the server to enrol. */
  mustEnrol = false;
  verdict: (chunkId: ChunkId) => "known" | "unknown" | "undecided" = () => "undecided";
  address = "";

  private constructor(server: RpcServer) {
    this.#server = server;
  }

  static async start(): Promise<FakeMaster> {
    const deps = makeWireDeps({ network: new TcpNetwork(), clock: new SystemClock() });
    const identity = { role: "master", clusterId: CLUSTER_A, name: "fake" } as const;
    const server = new RpcServer(deps, { identity: () => identity });
    const master = new FakeMaster(server);
    master.#register();
    master.address = await server.listen("127.0.0.1:0");
    return master;
  }

  /** Returns an intent, signed like one of the leader. */
  intent(
    servers: readonly ServerLocation[],
    issuedIndex: number,
    { lifetimeMs = 60_000, key = CHUNK_KEY } = {},
  ): Intent {
    const unsigned = { servers: [...servers], issuedIndex: issuedIndex as LogIndex, lifetimeMs };
    return { ...unsigned, signature: signIntent(hasher, key, unsigned) };
  }

  order(serverId: ServerId, order: fleet.Order): void {
    this.orders.set(serverId, [...(this.orders.get(serverId) ?? []), order]);
  }

  /** Forgets the server, like a new leader that does not know it. */
  forget(serverId: ServerId): void {
    this.servers.delete(serverId);
  }

  /** Returns all results of one kind in the heartbeats of the server. */
  reported<Kind extends "copied" | "copyFailed" | "lost" | "purged">(
    kind: Kind,
    serverId: ServerId,
  ): fleet.HeartbeatRequest[Kind][number][] {
    return this.heartbeats
      .filter((heartbeat) => heartbeat.serverId === serverId)
      .flatMap((heartbeat): fleet.HeartbeatRequest[Kind][number][] => heartbeat[kind]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#server.close(100);
  }

  #register(): void {
    this.#server.onCall(fleet.register, async (request) => {
      request.release();
      if (this.refusal !== null) throw this.refusal;
      const { server } = request.head;
      this.servers.set(server.serverId, server);
      const { proof } = request.head;
      this.proofs.push(proof);
      const isProven = proof?.credential != null;
      if (isProven) this.mustEnrol = false;
      return {
        ...{ clusterId: CLUSTER_A, chunkKey: CHUNK_KEY, heartbeatIntervalMs: 20 },
        ...(this.chunkKeys === undefined ? {} : { chunkKeys: [...this.chunkKeys] }),
        ...(this.credential === null || isProven ? {} : { credential: this.credential }),
      };
    });
    this.#server.onCall(fleet.heartbeat, async (request) => {
      request.release();
      const { serverId } = request.head;
      if (!this.servers.has(serverId)) {
        throw new AshlarError("NOT_FOUND", `Chunkserver ${serverId} has not registered`);
      }
      this.heartbeats.push(request.head);
      const orders = this.orders.get(serverId) ?? [];
      this.orders.delete(serverId);
      const held = request.head.chunkKeyVersions?.length;
      const { chunkKeys, mustEnrol: enrol } = this;
      if (chunkKeys === undefined || chunkKeys.length === held) return { orders, enrol };
      return { orders, enrol, chunkKeys: [...chunkKeys] };
    });
    this.#server.onCall(fleet.goodbye, async (request) => {
      request.release();
      this.goodbyes.push(request.head.serverId);
      return {};
    });
    this.#server.onCall(fleet.confirmChunks, async (request) => {
      request.release();
      return { verdicts: request.head.chunks.map(({ chunkId }) => this.verdict(chunkId)) };
    });
  }
}
