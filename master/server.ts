import type { AshlarError } from "../shared/base/errors.ts";
import type { ClusterId, MemberId } from "../shared/base/ids.ts";
import { Closers } from "../shared/flow/closers.ts";
import { SlabPool } from "../shared/flow/slabs.ts";
import type { Disk, DiskFile } from "../shared/ports/disk.ts";
import type { Env } from "../shared/ports/env.ts";
import type { Log } from "../shared/ports/log.ts";
import type { Metrics } from "../shared/ports/metrics.ts";
import type { OrderedStores } from "../shared/ports/ordered-store.ts";
import { memberStatus } from "../shared/protocol/fleet-api.ts";
import { connect, type WireDeps } from "../shared/wire/connect.ts";
import { ConnectionPool } from "../shared/wire/connection-pool.ts";
import type { PeerIdentity } from "../shared/wire/rpc.ts";
import { RpcServer } from "../shared/wire/rpc-server.ts";
import type { MasterStatus } from "./api/cluster-status.ts";
import { FeedService } from "./api/feed-handler.ts";
import { registerFleetHandlers } from "./api/fleet-handlers.ts";
import { type MasterDeps, propose } from "./api/leader-context.ts";
import { registerMastersHandlers } from "./api/masters-handlers.ts";
import { registerNamespaceHandlers } from "./api/namespace-handlers.ts";
import { type MasterConfig, membersOf } from "./config.ts";
import type { ConsensusStatus } from "./consensus.ts";
import type { Driver, DriverLimits } from "./driver/driver.ts";
import type { OpenStorage } from "./driver/member-storage.ts";
import { foundersOf, foundingRecord, openDriver } from "./driver/open-driver.ts";
import { registerBackupHandler, registerRaftHandlers } from "./driver/raft-handlers.ts";
import { LeaderServices } from "./fleet/leader-services.ts";
import { Registry } from "./fleet/registry.ts";
import { Repair } from "./fleet/repair.ts";
import { SessionMonitor } from "./fleet/session-monitor.ts";
import { StateMonitor, type StateReport } from "./fleet/state-monitor.ts";
import { WIRE_COMMAND_BYTES_MAX } from "./namespace/command.ts";
import { FEATURE_LEVEL_FIRST } from "./namespace/feature-levels.ts";
import { Namespace } from "./namespace/namespace.ts";
import { openMemberStorage } from "./storage/open-member-storage.ts";
import { type RestoreResult, restoreBackup } from "./storage/restore-backup.ts";

export interface RunningMaster extends AsyncDisposable {
  /** "host:port" of the internal wire. */
  readonly address: string;
  readonly consensus: Driver;
  /** The state of the moment. */
  readonly namespace: () => Namespace;
}

export interface MasterStorage {
  readonly disk: Disk;
  readonly stores: OrderedStores;
}

export interface MasterOptions {
  /** The member cannot go on: the process should stop. */
  readonly onFatal: (error: AshlarError) => void;
  /** How the data directory is opened. Default: `openMemberStorage`. */
  readonly openStorage?: OpenStorage;
  /** Default: DEFAULT_LIMITS. */
  readonly limits?: Partial<DriverLimits>;
}

/** Bodies in receipt: snapshots and batches of Raft messages. */
const RECEIVE_BYTES_MAX = 256 * 1024 * 1024;
/** A request is a head. The largest transaction makes the largest command; its receipts come on top. */
const REQUEST_HEAD_BYTES_MAX = 2 * WIRE_COMMAND_BYTES_MAX;
const FETCH_STATUS_TIMEOUT_MS = 1_000;
const ORDER_TIMEOUT_MS = 120_000;

/**
 * Starts one master. Resolves when it listens; it may still be without a leader.
 *
 * Disposing it stops the services and the calls first, then consensus, then the disk.
 *
 * @throws {AshlarError} ADDRESS_IN_USE, WRONG_IDENTITY, LOG_CORRUPT, DISK_FAILED
 */
export async function startMaster(
  config: MasterConfig,
  env: Env,
  storage: MasterStorage,
  hooks: MasterOptions,
): Promise<RunningMaster> {
  await using closers = new Closers();
  const clusterId = config.clusterId as ClusterId;
  const memberId = config.memberId as MemberId;
  const identity: PeerIdentity = { role: "master", clusterId, name: `master ${memberId}` };
  const wireDeps: WireDeps = { ...env, slabs: new SlabPool({ bytesMax: RECEIVE_BYTES_MAX }) };
  const pool = closers.use(
    new ConnectionPool(
      { ...wireDeps, random: env.random },
      { identity: () => identity, role: "master" },
    ),
  );
  const members = membersOf(config);
  const driver = closers.use(
    await openDriver({
      env,
      ...storage,
      openStorage: hooks.openStorage ?? openMemberStorage,
      openStateMachine: (store) =>
        Namespace.open({
          store,
          hasher: env.hasher,
          yieldTurn: () => env.clock.yieldTurn(),
          onDamage: hooks.onFatal,
        }),
      connect: (address, options) =>
        connect(wireDeps, address, { ...options, identity, expect: { role: "master", clusterId } }),
      clusterId,
      memberId,
      members,
      join: config.join,
      timing: config,
      limits: hooks.limits ?? {},
      onFatal: hooks.onFatal,
    }),
  );
  const deps = makeDeps(config, env, driver);
  const services = closers.use(
    new LeaderServices({ ...deps, newCluster: newClusterOf(config, env) }),
  );
  const watch = closers.use(
    new StateMonitor({
      ...deps,
      featureLevel: () => deps.namespace().featureLevel,
      fetchReport: (member) => fetchStateReport(pool, member.address),
      intervalMs: config.checkpointIntervalMs,
    }),
  );
  const limits = { headBytesMax: REQUEST_HEAD_BYTES_MAX };
  const server = new RpcServer(wireDeps, { identity: () => identity, limits });
  closers.defer(() => server.close(config.stopGraceMs));
  const feed = new FeedService(deps);
  // Before the server waits for what is under way: a watcher's stream never ends by itself.
  closers.defer(() => feed[Symbol.dispose]());
  feed.register(server);
  registerRaftHandlers(server, driver);
  const facts = (): { clusterId: ClusterId; featureLevel: number } => {
    return { clusterId, featureLevel: deps.namespace().featureLevel };
  };
  registerBackupHandler(server, driver, { clock: env.clock, facts });
  registerNamespaceHandlers(server, deps);
  registerFleetHandlers(server, {
    ...deps,
    fetchMasterStatus: (address) => fetchMasterStatus(pool, address),
  });
  registerMastersHandlers(server, driver);
  const ownAddress = members.find((member) => member.id === memberId)?.address ?? "";
  // First of all: calls that are refused here find the next leader at once, and a server that closes
  // need not wait for its peers.
  closers.defer(() => driver.prepareStop());
  const address = await server.listen(config.listen ?? ownAddress);
  services.start();
  watch.start();
  logMemberPhase(env.log, driver, `ashlar master add ${memberId}=${ownAddress}`);
  registerHistoryMetrics(env.metrics, deps);

  const owned = closers.move();
  return {
    address,
    consensus: driver,
    namespace: deps.namespace,
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  };
}

/** Says once that this master waits to be added, and when it counts, or counts no more. */
function logMemberPhase(log: Log, driver: Driver, addCommand: string): void {
  let told = "member";
  const tell = ({ memberPhase }: ConsensusStatus): void => {
    if (memberPhase === told) return;
    told = memberPhase;
    if (memberPhase === "joining")
      log.info("This master waits to be added", { command: addCommand });
    else if (memberPhase === "member") log.info("This master is a member now");
    else log.warn("This master was removed from the cluster; it can be stopped");
  };
  driver.onChange(tell);
  tell(driver.status());
}

/** What the history takes, for whoever scrapes. */
function registerHistoryMetrics(metrics: Metrics, { namespace }: MasterDeps): void {
  metrics.gauge(
    "ashlar_master_history_versions",
    "Superseded records, replaced contents and removed files that the history keeps",
    () => namespace().counters().historyVersions,
  );
  metrics.gauge("ashlar_master_history_oldest_index", "Oldest state that can be read", () =>
    namespace().oldestReadableIndex(),
  );
}

/**
 * Makes the data directory of the master that `config` describes from a backup. All members of the
 * config are voters of the restored cluster.
 *
 * @throws {AshlarError} as `restoreBackup`
 */
export function restoreMaster(
  config: MasterConfig,
  env: Env,
  storage: MasterStorage,
  file: DiskFile,
): Promise<RestoreResult> {
  const memberId = config.memberId as MemberId;
  const members = membersOf(config);
  return restoreBackup({
    ...env,
    ...storage,
    clusterId: config.clusterId as ClusterId,
    memberId,
    membership: foundingRecord(foundersOf({ members, memberId })),
    file,
  });
}

type ServiceDeps = MasterDeps & {
  readonly registry: Registry;
  readonly repair: Repair;
  readonly sessions: SessionMonitor;
  readonly state: () => Namespace;
  readonly propose: (command: Parameters<typeof propose>[1]) => ReturnType<typeof propose>;
};

function makeDeps(config: MasterConfig, env: Env, driver: Driver): ServiceDeps {
  const { clock, hasher } = env;
  const log = env.log.child({ part: "fleet" });
  const times = {
    suspectMs: config.serverSuspectMs,
    deadMs: config.serverDeadMs,
    repairDelayMs: config.repairDelayMs,
    repairDelayStoppedMs: config.repairDelayStoppedMs,
  };
  const limits = {
    copiesPerTarget: config.repairCopiesPerServer,
    copiesTotal: config.repairCopiesTotal,
    orderTimeoutMs: ORDER_TIMEOUT_MS,
    massLossShare: config.repairMassLossShare,
    racksMin: config.defaultRacksMin,
  };
  const registry = new Registry({ clock, times });
  // The factory above makes every state machine of this driver.
  const namespace = (): Namespace => driver.stateMachine as Namespace;
  driver.onStall(() => registry.startGracePeriod(namespace().servers()));
  return {
    env,
    consensus: driver,
    namespace,
    state: namespace,
    fleet: registry,
    registry,
    repair: new Repair({ registry, clock, hasher, log, limits }),
    sessions: new SessionMonitor({ idleMsMax: config.sessionIdleMsMax }),
    historyVersionsMax: config.historyVersionsMax,
    nowMs: monotoneWallClock(env),
    propose: (command) => propose({ consensus: driver, namespace }, command),
  };
}

/** The leader's time for entries: wall time that never goes back while this process lives. */
function monotoneWallClock(env: Env): () => number {
  let lastMs = 0;
  return () => {
    lastMs = Math.max(lastMs, env.clock.wallMs());
    return lastMs;
  };
}

function newClusterOf(
  config: MasterConfig,
  env: Env,
): ConstructorParameters<typeof LeaderServices>[0]["newCluster"] {
  return {
    clusterId: config.clusterId,
    chunkKey: env.random.bytes(32),
    defaultClass: {
      name: "default",
      copies: config.defaultCopies,
      copiesMin: config.defaultCopiesMin,
      racksMin: config.defaultRacksMin,
    },
    inlineBytesMax: config.inlineBytesMax,
    historyRetentionMs: config.historyRetentionMs,
    feedBytesMax: config.feedBytesMax,
    intentLifetimeMs: config.intentLifetimeMs,
    sessionIdleMsMax: config.sessionIdleMsMax,
  };
}

async function fetchMasterStatus(pool: ConnectionPool, address: string): Promise<MasterStatus> {
  return (await fetchStatus(pool, address)).member;
}

/** Versions that say nothing of their state know the first feature level only. */
async function fetchStateReport(pool: ConnectionPool, address: string): Promise<StateReport> {
  const { state } = await fetchStatus(pool, address);
  return state ?? { featureLevelMax: FEATURE_LEVEL_FIRST, marks: [] };
}

async function fetchStatus(
  pool: ConnectionPool,
  address: string,
): Promise<ReturnType<(typeof memberStatus)["parseResponse"]>> {
  const reply = await pool.call(address, memberStatus, {}, { timeoutMs: FETCH_STATUS_TIMEOUT_MS });
  reply.release();
  return reply.head;
}
