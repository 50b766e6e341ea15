import { parseAddress } from "../shared/base/address.ts";
import { toHex } from "../shared/base/bytes.ts";
import { AshlarError } from "../shared/base/errors.ts";
import { type ClusterId, type LogIndex, parseClusterId } from "../shared/base/ids.ts";
import { Closers } from "../shared/flow/closers.ts";
import { SlabPool } from "../shared/flow/slabs.ts";
import { parseClusterAddress } from "../shared/platform/cluster-address.ts";
import { hostName as machineName } from "../shared/platform/host-name.ts";
import { LazyHasher } from "../shared/platform/lazy-hasher.ts";
import { quietLog, unreadMetrics } from "../shared/platform/quiet.ts";
import { SystemClock } from "../shared/platform/system-clock.ts";
import { SystemRandom } from "../shared/platform/system-random.ts";
import { TcpNetwork } from "../shared/platform/tcp-network.ts";
import type { Env } from "../shared/ports/env.ts";
import type { Log } from "../shared/ports/log.ts";
import { memberStatus } from "../shared/protocol/fleet-api.ts";
import type { CallWatch } from "../shared/wire/call-watch.ts";
import { ConnectionPool } from "../shared/wire/connection-pool.ts";
import { fetchMasters } from "../shared/wire/fetch-masters.ts";
import { LeaderChannel } from "../shared/wire/leader-channel.ts";
import type { WireLimits } from "../shared/wire/limits.ts";
import type { PeerIdentity } from "../shared/wire/rpc.ts";
import { Background } from "./background.ts";
import { refuseCall } from "./call-shapes.ts";
import { withCallerFrames } from "./caller-stack.ts";
import { Chunkservers } from "./chunkservers/chunkservers.ts";
import type { ClientDeps } from "./client-deps.ts";
import { ClusterFileSystem } from "./cluster-file-system.ts";
import type { FileSystem } from "./file-system.ts";
import { MasterSession } from "./masters/master-session.ts";
import type { ConnectOptions, RetryEvent } from "./options.ts";
import { BlockCache } from "./read/block-cache.ts";
import { BlockReads } from "./read/block-reads.ts";
import { ManifestCache } from "./read/manifest-cache.ts";
import { ReadAheadBudget } from "./read/read-ahead-budget.ts";
import { SmallChunks } from "./write/small-chunks.ts";
import { ZeroBlocks } from "./zero-blocks.ts";

const MIB = 1024 * 1024;
const TIMEOUT_MS = 30_000;
const CLOSE_GRACE_MS = 1_000;
/** Receive buffers for responses of the masters, such as listings of up to 1,000 entries. */
const MASTER_SLAB_BYTES_MAX = 64 * MIB;
/** See `UploadSlabs`. */
const FIRST_SLAB_BYTES_MAX = 32 * MIB;
const WRITE_SLAB_BYTES_MAX = 64 * MIB;
/** Memory that an idle pool keeps. */
const IDLE_SLAB_BYTES_MAX = 32 * MIB;
/** Bytes that all readers together may request ahead of their consumers. */
const READ_AHEAD_BYTES_MAX = 48 * MIB;
/**
 * Receive buffers of all readers. Larger than the read-ahead budget: when the budget is exhausted,
 * each reader may still request one small segment, or readers whose consumers wait for each other
 * would deadlock.
 */
const READ_SLAB_BYTES_MAX = 256 * MIB;
/**
 * Timeout for one master in reads that any master may answer. A lagging master makes a session read
 * wait.
 */
const ANY_MASTER_TIMEOUT_MS = 1_000;
/** A command that ends within this time after its first call does not ask for the addresses of all masters. */
const FIRST_FETCH_AFTER_MS = 10_000;
/** Block hashes of 64 GiB of file content. */
const MANIFEST_BYTES_MAX = 32 * MIB;
const BLOCK_CACHE_BYTES_MAX = 16 * MIB;
/**
 * Responses of the masters are sent in frame heads, so heads are large. A watch without a consumer
 * buffers at most one stream window; small windows let many watches share a connection.
 */
const MASTER_LIMITS: Partial<WireLimits> = { headBytesMax: 16 * MIB, streamWindowBytes: MIB };
const CHUNKSERVER_LIMITS: Partial<WireLimits> = { connectionWindowBytes: READ_SLAB_BYTES_MAX };

/**
 * Connects to a cluster. Resolves after a master has answered, so a wrong address is detected here.
 *
 * Dispose the returned file system to close its connections and its session with the masters
 * (`await using`, or `await fs[Symbol.asyncDispose]()`).
 *
 * @throws {AshlarError} INVALID_ARGUMENT if `masters` is empty, an address is malformed, or `cluster`
 *   is no directory of a cluster; NOT_FOUND if `ashlar cluster up` did not finish in the directory;
 *   UNAVAILABLE or DEADLINE_EXCEEDED if no master answers within `timeoutMs`; WRONG_CLUSTER if the
 *   masters belong to a cluster other than `clusterId`.
 */
export function connect(options: ConnectOptions): Promise<FileSystem> {
  return openFileSystem(options, { isProbed: true });
}

/**
 * As `connect`, for one command of the CLI; no part of the public surface. The first call connects,
 * and it is the only one if it is answered soon. `watch` observes the calls to the masters.
 *
 * @throws {AshlarError} INVALID_ARGUMENT, NOT_FOUND, as `connect`; the first call throws the others
 */
export function connectCommand(options: ConnectOptions, watch: CallWatch): Promise<FileSystem> {
  const firstFetchAfterMs = FIRST_FETCH_AFTER_MS;
  return openFileSystem(options, { isProbed: false, watch, firstFetchAfterMs });
}

/** Settings that differ between the library and a command of the CLI. */
interface OpenOptions {
  /** Whether a master must answer before the file system is used. */
  readonly isProbed: boolean;
  readonly watch?: CallWatch;
  readonly firstFetchAfterMs?: number;
}

async function openFileSystem(options: ConnectOptions, open: OpenOptions): Promise<FileSystem> {
  const addresses = await addressesOf(options);
  const clusterId = addresses.clusterId === undefined ? null : parseClusterId(addresses.clusterId);
  const env = options.env ?? nodeEnv(options.log);
  await using closers = new Closers();
  const deps = makeDeps(env, { ...options, ...addresses, ...open }, clusterId, closers);
  if (open.isProbed) await deps.masters.call(memberStatus, {}, options);
  return withCallerFrames<FileSystem>(new ClusterFileSystem(deps, closers.move()), refuseCall);
}

/** The masters of a cluster, and its id if it is known. */
interface Addresses {
  readonly masters: readonly string[];
  readonly clusterId?: string;
}

/** Returns the addresses that `masters` or `cluster` gives. @throws {AshlarError} see `connect` */
async function addressesOf({ masters, cluster, clusterId }: ConnectOptions): Promise<Addresses> {
  if ((masters === undefined) === (cluster === undefined)) {
    const given = masters === undefined ? "neither" : "both";
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot connect: expected either \`masters\` or \`cluster\`: current value is ${given}`,
    );
  }
  const known = clusterId === undefined ? {} : { clusterId };
  if (cluster !== undefined) {
    const local = await parseClusterAddress(cluster, "`cluster`");
    const recorded = local.clusterId === null ? {} : { clusterId: local.clusterId };
    return { masters: local.masters, ...recorded, ...known };
  }
  const addresses = masters ?? [];
  if (addresses.length === 0) {
    throw new AshlarError("INVALID_ARGUMENT", "Cannot connect: expected at least one master");
  }
  for (const address of addresses) parseAddress(address);
  return { masters: addresses, ...known };
}

/** Returns the ports of this process: system clock, TCP and so on. */
export function nodeEnv(log: Log = quietLog): Env {
  return {
    clock: new SystemClock(),
    random: new SystemRandom(),
    network: new TcpNetwork(),
    hasher: new LazyHasher(),
    log,
    metrics: unreadMetrics,
  };
}

function makeDeps(
  env: Env,
  options: ConnectOptions & OpenOptions & Addresses,
  clusterId: ClusterId | null,
  closers: Closers,
): ClientDeps {
  const { clientName = "client", timeoutMs = TIMEOUT_MS } = options;
  // With an injected env the machine's name would break determinism: the default is then empty.
  const hostName = options.hostName ?? (options.env === undefined ? machineName() : "");
  const name = `${clientName}-${toHex(env.random.bytes(4))}`;
  const onRetry = options.onRetry ?? (() => {});
  const control = closers.use(
    makePool(env, name, MASTER_SLAB_BYTES_MAX, { clusterId: () => clusterId, role: "master" }),
  );
  const data = makePool(env, name, READ_SLAB_BYTES_MAX, {
    clusterId: () => control.clusterId,
    role: "chunkserver",
  });
  closers.defer(() => data.close(CLOSE_GRACE_MS));
  const background = new Background();
  closers.defer(() => background.settled());
  const { session, channel, anyMaster } = makeMasters(
    env,
    { ...options, clientName: name, timeoutMs, onRetry },
    control,
  );
  closers.defer(() => channel.close());
  closers.defer(() => anyMaster.close());
  const masters = closers.use(session);
  // Runs first at close: an open watch would otherwise reconnect to another master.
  const closing = new AbortController();
  closers.defer(() => closing.abort(closed()));
  const { clock, random, hasher } = env;
  const chunkservers = new Chunkservers({ pool: data, clock, random, hostName });
  const shared = {
    ...{ env, masters, chunkservers, background, closing: closing.signal },
    ...{ hostName, timeoutMs, onRetry },
  };
  return {
    ...shared,
    smallChunks: new SmallChunks(shared),
    feed: {
      pool: control,
      addresses: () => channel.addresses,
      refreshAddresses: (connection) => channel.refreshMastersIfDue(connection),
    },
    blockReads: new BlockReads(chunkservers, clock),
    blockCache: new BlockCache(BLOCK_CACHE_BYTES_MAX),
    manifests: new ManifestCache(MANIFEST_BYTES_MAX),
    zeroBlocks: new ZeroBlocks(hasher),
    writeSlabs: {
      first: new SlabPool({
        bytesMax: FIRST_SLAB_BYTES_MAX,
        idleBytesMax: IDLE_SLAB_BYTES_MAX / 2,
      }),
      next: new SlabPool({ bytesMax: WRITE_SLAB_BYTES_MAX, idleBytesMax: IDLE_SLAB_BYTES_MAX / 2 }),
    },
    readAheadBudget: new ReadAheadBudget(READ_AHEAD_BYTES_MAX),
  };
}

const closed = (): AshlarError => new AshlarError("CANCELLED", "The file system is closed");

/**
 * Returns a pool of connections to servers of one role. Each pool has receive buffers of its own,
 * so bulk data from chunkservers never delays a call to the masters.
 */
function makePool(
  env: Env,
  name: string,
  bytesMax: number,
  peer: { readonly role: "master" | "chunkserver"; readonly clusterId: () => ClusterId | null },
): ConnectionPool {
  const slabs = new SlabPool({ bytesMax, idleBytesMax: IDLE_SLAB_BYTES_MAX });
  const identity = (): PeerIdentity => ({ role: "client", clusterId: peer.clusterId(), name });
  const limits = peer.role === "chunkserver" ? CHUNKSERVER_LIMITS : MASTER_LIMITS;
  return new ConnectionPool({ ...env, slabs }, { identity, role: peer.role, limits });
}

/** Returns the session with the masters, and its channels to their leader and to any of them. */
function makeMasters(
  env: Env,
  options: ConnectOptions &
    OpenOptions &
    Addresses & {
      readonly clientName: string;
      readonly timeoutMs: number;
      readonly onRetry: (event: RetryEvent) => void;
    },
  pool: ConnectionPool,
): {
  readonly session: MasterSession;
  readonly channel: LeaderChannel;
  readonly anyMaster: LeaderChannel;
} {
  const { clock, random, log } = env;
  const { masters, clientName, timeoutMs, onRetry, watch, readMode = "linearizable" } = options;
  const { firstFetchAfterMs = 0 } = options;
  const channel = new LeaderChannel({
    pool,
    clock,
    random,
    addresses: () => masters,
    fetchMasters,
    firstFetchAfterMs,
    watch,
    onRetry: ({ method, attempt, delayMs, error }) => {
      onRetry({ operation: method, attempt, delayMs, error });
    },
  });
  const first = Math.floor(random.fraction() * masters.length);
  const anyMaster = new LeaderChannel({
    pool,
    clock,
    random,
    // The channel keeps using the master that answered last. A random start spreads the clients.
    addresses: () => [...masters.slice(first), ...masters.slice(0, first)],
    attemptTimeoutMs: ANY_MASTER_TIMEOUT_MS,
    watch,
    onRetry: ({ method, attempt, delayMs, error }) =>
      onRetry({ operation: method, attempt, delayMs, error }),
  });
  const session = new MasterSession({
    channel,
    anyMaster,
    clock,
    log,
    clientName,
    timeoutMs,
    readMode,
    seenIndex: (options.seenIndex ?? 0) as LogIndex,
  });
  return { session, channel, anyMaster };
}
