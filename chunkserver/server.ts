import type { ServerId } from "../shared/base/ids.ts";
import { Closers } from "../shared/flow/closers.ts";
import { SlabPool } from "../shared/flow/slabs.ts";
import { startHttpServer } from "../shared/platform/http-server.ts";
import type { Disk } from "../shared/ports/disk.ts";
import type { Env } from "../shared/ports/env.ts";
import type { OrderedStores } from "../shared/ports/ordered-store.ts";
import type { ServerLocation } from "../shared/protocol/intent.ts";
import type { WireDeps } from "../shared/wire/connect.ts";
import { ConnectionPool } from "../shared/wire/connection-pool.ts";
import { fetchMasters } from "../shared/wire/fetch-masters.ts";
import { LeaderChannel } from "../shared/wire/leader-channel.ts";
import type { WireLimits } from "../shared/wire/limits.ts";
import type { PeerIdentity } from "../shared/wire/rpc.ts";
import { EARLY_BODY_BYTES_MAX, RpcServer } from "../shared/wire/rpc-server.ts";
import { registerChunkHandlers } from "./api/rpc-handlers.ts";
import { advertisedAddress, type ChunkserverConfig, hostOf, reserveBytesFor } from "./config.ts";
import { type ChunkserverCounters, exposeGauges, makeCounters } from "./metrics.ts";
import { HeldKeys } from "./pipeline/held-keys.ts";
import { ReadMemory } from "./pipeline/read-memory.ts";
import { WRITE_WINDOW_BYTES, WriteAdmission } from "./pipeline/write-admission.ts";
import type { ChunkStore } from "./store/chunk-store.ts";
import { Credential } from "./store/credential.ts";
import { openChunkStore } from "./store/open-store.ts";
import { RecentReads } from "./store/recent-reads.ts";
import { CopyComparison } from "./upkeep/copy-comparison.ts";
import { MasterLink } from "./upkeep/master-link.ts";
import { OrderResults } from "./upkeep/order-results.ts";
import { Orders } from "./upkeep/orders.ts";
import { Scrub } from "./upkeep/scrub.ts";
import { runUpkeep } from "./upkeep/upkeep.ts";

const MIB = 1024 * 1024;
/** Receive buffers for bodies read from other chunkservers: replicas on order, partial chunks. */
const PULL_BYTES_MAX = 64 * MIB;
/** Time in milliseconds for which the closing HTTP server waits for open requests. */
const HTTP_CLOSE_GRACE_MS = 1_000;

/** A chunkserver that listens. Disposing it stops it, see `startChunkserver`. */
export interface RunningChunkserver extends AsyncDisposable {
  readonly serverId: ServerId;
  /** "host:port" reported to the masters. */
  readonly address: string;
  /** "host:port" of the HTTP server. Null without an HTTP server. */
  readonly httpAddress: string | null;
  /** Resolves when a leader has registered this server and answered a heartbeat. Never rejects. */
  readonly serving: Promise<void>;
  /**
   * Returns whether a leader has registered this server and the disk works, or the reason why not.
   */
  readonly ready: () => { readonly ready: boolean; readonly reason?: string };
}

/** The storage of a chunkserver: its data directory and the index stores in it. */
export interface ChunkserverStorage {
  readonly disk: Disk;
  readonly stores: OrderedStores;
}

/** Functions that the owner of a chunkserver process provides. */
export interface ChunkserverCallbacks {
  /** Called after an error in this program. The process should stop. */
  readonly onFatal: (error: unknown) => void;
  /** Returns the response of `/metrics`. */
  readonly scrape: () => Promise<{ readonly contentType: string; readonly text: string }>;
}

const NO_METRICS = { contentType: "text/plain", text: "" };

/**
 * Starts a chunkserver. Resolves when it listens and serves reads. It accepts writes after a leader
 * has registered it.
 *
 * Disposing it stops the background tasks, reports the stop to the leader, waits for the calls in
 * progress, then closes the disk.
 *
 * @throws {AshlarError} WRONG_IDENTITY or STORE_CORRUPT if the data directory does not match its
 *   identity file; ADDRESS_IN_USE.
 */
export async function startChunkserver(
  config: ChunkserverConfig,
  env: Env,
  storage: ChunkserverStorage,
  callbacks: Partial<ChunkserverCallbacks> = {},
): Promise<RunningChunkserver> {
  await using closers = new Closers();
  const store = closers.use(await openStore(config, env, storage));
  const counters = makeCounters(env.metrics);
  const identity = (): PeerIdentity => identityOf(config, store);
  const pools = openPools(env, store, { identity, closers });
  const admission = new WriteAdmission(config.writeBytesInFlightMax, env.clock);
  const server = new RpcServer(
    { ...env, slabs: slabPool(store, receiveBytesMax(admission)) },
    { identity, limits: receiveLimits(admission) },
  );
  closers.defer(() => admission.idle()); // A cancelled write uses the store until it has ended.
  closers.defer(() => server.close(config.stopGraceMs));
  const keys = new HeldKeys(env.clock);
  const credential = await Credential.open(storage.disk, env.log);
  const recentReads = new RecentReads();
  const memory = new ReadMemory(config.readBytesInFlightMax, (bytes) => slabPool(store, bytes));
  const receive = {
    ...env,
    ...counters,
    store,
    admission,
    pool: pools.data,
    keys,
  };
  const send = { ...counters, store, memory, recentReads };
  exposeGauges(env.metrics, { store, admission, memory });
  registerChunkHandlers(server, { store, receive, send });
  const address = advertisedAddress(config, await server.listen(config.listen));

  const location = locationOf(config, store, address);
  const deps = {
    ...{ config, env, store, counters, pools, location, admission, callbacks },
    ...{ keys, credential },
  };
  const upkeep = startUpkeep(deps);
  closers.defer(() => upkeep.stop());
  const ready = (): { ready: boolean; reason?: string } => readiness(store, upkeep.link);
  const httpAddress = await openHttp(config, env, { store, ready, callbacks, closers });
  const owned = closers.move();
  return {
    serverId: store.serverId,
    address,
    httpAddress,
    ready,
    serving: upkeep.link.serving,
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  };
}

function openStore(
  config: ChunkserverConfig,
  env: Env,
  storage: ChunkserverStorage,
): Promise<ChunkStore> {
  return openChunkStore({
    ...env,
    ...storage,
    log: env.log.child({ part: "store" }),
    expected: { serverId: config.serverId ?? null, clusterId: config.clusterId ?? null },
    reserveBytesFor: (totalBytes) => reserveBytesFor(config, totalBytes),
    diskTimeoutMs: config.diskTimeoutMs,
  });
}

function identityOf(config: ChunkserverConfig, store: ChunkStore): PeerIdentity {
  const clusterId = store.clusterId ?? config.clusterId ?? null;
  return { role: "chunkserver", clusterId, name: store.serverId };
}

/** Returns a pool of buffers for data between the network and the disk. */
function slabPool(store: ChunkStore, bytesMax: number): SlabPool {
  return new SlabPool({ bytesMax, allocate: (lengthBytes) => store.allocateBuffer(lengthBytes) });
}

interface Pools {
  /** Bulk data to and from other chunkservers. */
  readonly data: ConnectionPool;
  /** Calls to masters. Separate, so that bulk data does not delay them. */
  readonly control: ConnectionPool;
}

function openPools(
  env: Env,
  store: ChunkStore,
  own: { readonly identity: () => PeerIdentity; readonly closers: Closers },
): Pools {
  const { identity, closers } = own;
  const wireDeps = (slabBytesMax: number): WireDeps => ({
    ...env,
    slabs: slabPool(store, slabBytesMax),
  });
  const limits: Partial<WireLimits> = { streamWindowBytes: WRITE_WINDOW_BYTES };
  const open = (role: "chunkserver" | "master", slabBytesMax: number): ConnectionPool =>
    closers.use(
      new ConnectionPool(
        { ...wireDeps(slabBytesMax), random: env.random },
        { identity, role, limits },
      ),
    );
  return { data: open("chunkserver", PULL_BYTES_MAX), control: open("master", 16 * MIB) };
}

function receiveBytesMax(admission: WriteAdmission): number {
  return admission.bytesMax + EARLY_BODY_BYTES_MAX;
}

/**
 * Returns the receive limits of the wire. The window of the connection has room for all writes, so
 * that only the window of its stream can block a write. If the writes of several chains shared the
 * window of a connection in both directions, each write could wait for the next one: a deadlock.
 */
function receiveLimits(admission: WriteAdmission): Partial<WireLimits> {
  return {
    streamWindowBytes: WRITE_WINDOW_BYTES,
    connectionWindowBytes: receiveBytesMax(admission),
  };
}

function locationOf(config: ChunkserverConfig, store: ChunkStore, address: string): ServerLocation {
  return { serverId: store.serverId, address, host: hostOf(config), rack: config.rack };
}

interface UpkeepDeps {
  readonly config: ChunkserverConfig;
  readonly env: Env;
  readonly store: ChunkStore;
  readonly counters: ChunkserverCounters;
  readonly pools: Pools;
  readonly location: ServerLocation;
  readonly admission: WriteAdmission;
  readonly keys: HeldKeys;
  readonly credential: Credential;
  readonly callbacks: Partial<ChunkserverCallbacks>;
}

function startUpkeep(deps: UpkeepDeps): {
  readonly link: MasterLink;
  readonly stop: () => Promise<void>;
} {
  const { config, env, store, counters, pools, location, admission, callbacks } = deps;
  const { keys, credential } = deps;
  const log = env.log.child({ part: "upkeep" });
  const stopping = new AbortController();
  const { signal } = stopping;
  const onBug = (error: unknown): void => {
    log.error("A background task failed unexpectedly", { error });
    callbacks.onFatal?.(error);
  };
  const results = new OrderResults();
  const orders = new Orders({
    ...config,
    copyDeps: { ...env, store, pool: pools.data },
    log,
    results,
    signal,
    onBug,
  });
  const channel = new LeaderChannel({
    ...env,
    pool: pools.control,
    addresses: () => config.masters,
    fetchMasters,
    // Shorter than the time after which the leader declares this server dead. So this server
    // contacts another master before a hung leader could be the reason for its death.
    attemptTimeoutMs: 1_000,
  });
  const activeWrites = (): number => admission.count + orders.copyCount;
  const link = new MasterLink({
    ...{ store, channel, location, results, activeWrites, log, keys, credential },
    hasher: env.hasher,
    joinToken: config.joinToken || null,
  });
  const bytesPerSecond = config.scrubBytesPerSecond;
  const passDaysMax = config.scrubPassDaysMax;
  const scrub =
    bytesPerSecond === 0
      ? null
      : new Scrub({ ...env, ...counters, store, log, bytesPerSecond, passDaysMax, signal });
  const comparison = new CopyComparison({ ...env, store, link, log });
  const tasks = { store, link, comparison, orders, scrub, signal };
  const running = runUpkeep({ ...env, log, ...tasks }).catch(onBug);
  return {
    link,
    stop: async () => {
      stopping.abort();
      await running;
      await link.sendGoodbye();
      channel.close();
    },
  };
}

function readiness(store: ChunkStore, link: MasterLink): { ready: boolean; reason?: string } {
  if (store.failure !== null) return { ready: false, reason: "The disk has failed" };
  return link.problem === null ? { ready: true } : { ready: false, reason: link.problem };
}

async function openHttp(
  config: ChunkserverConfig,
  env: Env,
  deps: {
    readonly store: ChunkStore;
    readonly ready: () => { readonly ready: boolean; readonly reason?: string };
    readonly callbacks: Partial<ChunkserverCallbacks>;
    readonly closers: Closers;
  },
): Promise<string | null> {
  if (config.http === null) return null;
  const { store, ready, callbacks, closers } = deps;
  const scrape = callbacks.scrape ?? (async () => NO_METRICS);
  const http = await startHttpServer({
    address: config.http,
    middleware: async () => {
      const [{ healthRoutes }, { chunkRoutes }] = await Promise.all([
        import("../shared/platform/http-health.ts"),
        import("./api/http-routes.ts"),
      ]);
      return [healthRoutes({ ready, scrape }), chunkRoutes(store)];
    },
    log: env.log.child({ part: "http" }),
    closeGraceMs: HTTP_CLOSE_GRACE_MS,
  });
  closers.use(http);
  return http.address;
}
