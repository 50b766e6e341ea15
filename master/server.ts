import { AshlarError } from "../shared/base/errors.ts";
import type { ClusterId, MemberId } from "../shared/base/ids.ts";
import { Closers } from "../shared/flow/closers.ts";
import { SlabPool } from "../shared/flow/slabs.ts";
import type { Disk, DiskFile } from "../shared/ports/disk.ts";
import type { Env } from "../shared/ports/env.ts";
import type { Log } from "../shared/ports/log.ts";
import type { Metrics } from "../shared/ports/metrics.ts";
import type { OrderedStores } from "../shared/ports/ordered-store.ts";
import { memberStatus } from "../shared/protocol/fleet-api.ts";
import { TRANSACT_BYTES_MAX } from "../shared/protocol/transact-api.ts";
import { connect, type WireDeps } from "../shared/wire/connect.ts";
import { ConnectionPool } from "../shared/wire/connection-pool.ts";
import type { PeerIdentity } from "../shared/wire/rpc.ts";
import { RpcServer } from "../shared/wire/rpc-server.ts";
import type { StatusDeps } from "./api/cluster-status.ts";
import { FeedService } from "./api/feed-handler.ts";
import { registerFleetHandlers } from "./api/fleet-handlers.ts";
import { type MasterDeps, propose } from "./api/leader-context.ts";
import { registerMastersHandlers } from "./api/masters-handlers.ts";
import { registerNamespaceHandlers } from "./api/namespace-handlers.ts";
import { Registrations } from "./api/registrations.ts";
import { ServerRemoval } from "./api/server-removal.ts";
import { type MasterConfig, membersOf, type RestoreConfig } from "./config.ts";
import type { ConsensusStatus } from "./consensus.ts";
import type { Driver, DriverLimits, DriverOptions } from "./driver/driver.ts";
import type { OpenStorage } from "./driver/member-storage.ts";
import { foundersOf, foundingRecord, openDriver } from "./driver/open-driver.ts";
import { registerBackupHandler, registerRaftHandlers } from "./driver/raft-handlers.ts";
import { ClusterClock } from "./fleet/cluster-clock.ts";
import { FeatureUpgrade } from "./fleet/feature-upgrade.ts";
import { LeaderServices } from "./fleet/leader-services.ts";
import { Registry } from "./fleet/registry.ts";
import { Repair } from "./fleet/repair.ts";
import { SessionMonitor } from "./fleet/session-monitor.ts";
import { StateMonitor, type StateReport } from "./fleet/state-monitor.ts";
import { FEATURE_LEVEL_FIRST } from "./namespace/feature-levels.ts";
import { Namespace } from "./namespace/namespace.ts";
import { openMemberStorage } from "./storage/open-member-storage.ts";
import { type RestoreResult, restoreBackup } from "./storage/restore-backup.ts";

/** A started master. Disposing it stops it. */
export interface RunningMaster extends AsyncDisposable {
  /** "host:port" of the internal wire. */
  readonly address: string;
  readonly consensus: Driver;
  /** Returns the current state: an installed snapshot replaces it. */
  readonly namespace: () => Namespace;
}

/** The data directory of a master. */
export interface MasterStorage {
  readonly disk: Disk;
  readonly stores: OrderedStores;
}

/** Callbacks and overrides of a master. */
export interface MasterOptions {
  /** Called when the member cannot continue and the process should stop. */
  readonly onFatal: (error: AshlarError) => void;
  /** Opens the data directory. Default: `openMemberStorage`. */
  readonly openStorage?: OpenStorage;
  /** Aborts the start. Without effect after it. */
  readonly signal?: AbortSignal;
  /** Default: DEFAULT_LIMITS. */
  readonly limits?: Partial<DriverLimits>;
}

/** Memory for received bodies, in bytes: snapshot parts and batches of Raft messages. */
const RECEIVE_BYTES_MAX = 256 * 1024 * 1024;
const FETCH_STATUS_TIMEOUT_MS = 1_000;
/** A clock that takes longer is not exact enough, and a new leader waits for it. */
const FETCH_CLOCK_TIMEOUT_MS = 500;
/** Time after which an unreported copy is ordered from another server. */
const ORDER_TIMEOUT_MS = 120_000;

/**
 * Starts one master. Resolves when it listens. It may not know a leader yet.
 *
 * Disposing it stops first the services and the calls, then consensus, then closes the disk.
 *
 * @throws {AshlarError} ADDRESS_IN_USE, WRONG_IDENTITY, LOG_CORRUPT, DISK_FAILED; the reason of `options.signal`
 */
export async function startMaster(
  config: MasterConfig,
  env: Env,
  storage: MasterStorage,
  options: MasterOptions,
): Promise<RunningMaster> {
  await using closers = new Closers();
  const clusterId = config.clusterId as ClusterId;
  const memberId = config.memberId as MemberId;
  const identity: PeerIdentity = { role: "master", clusterId, name: `master ${memberId}` };
  const expect = { role: "master", clusterId } as const;
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
      openStorage: options.openStorage ?? openMemberStorage,
      openStateMachine: (store) =>
        Namespace.open({
          store,
          hasher: env.hasher,
          yieldTurn: () => env.clock.yieldTurn(),
          onDamage: options.onFatal,
        }),
      connect: (address, connectOptions) =>
        connect(wireDeps, address, { ...connectOptions, identity, expect }),
      clusterId,
      memberId,
      members,
      ...foundingOf(config),
      timing: config,
      limits: { logKeptBytes: config.logKeptBytes, ...options.limits },
      onFatal: options.onFatal,
      signal: options.signal,
    }),
  );
  const deps = makeDeps(config, env, driver, pool);
  closers.use(deps.clock);
  const { services, monitor, upgrade } = makeServices(config, deps, pool);
  const isFounding = (): boolean => deps.namespace().isUnused && upgrade.isPending;
  const handlerDeps: MasterDeps = { ...deps, isFounding };
  closers.use(services);
  closers.use(monitor);
  const limits = { headBytesMax: TRANSACT_BYTES_MAX };
  const server = new RpcServer(wireDeps, { identity: () => identity, limits });
  closers.defer(() => server.close(config.stopGraceMs));
  const feed = new FeedService(handlerDeps);
  // Disposed before the server waits for running streams, because a watch stream never ends without
  // an error.
  closers.defer(() => feed[Symbol.dispose]());
  feed.register(server);
  registerRaftHandlers(server, driver);
  const headFields = () => ({ clusterId, featureLevel: deps.namespace().featureLevel });
  registerBackupHandler(server, driver, { clock: env.clock, headFields });
  registerNamespaceHandlers(server, handlerDeps);
  registerFleetHandlers(server, { ...handlerDeps, ...masterStatusOver(pool) });
  registerMastersHandlers(server, {
    consensus: driver,
    ...masterStatusOver(pool),
    finalizeUpgrade: () => upgrade.finalize(),
    resetClock: () => deps.clock.reset(deps.propose),
  });
  const ownAddress = members.find((member) => member.id === memberId)?.address ?? "";
  // Runs first, so that refused calls find the next leader immediately and no stream of a peer
  // delays the stop of the server.
  closers.defer(() => driver.prepareStop());
  const address = await server.listen(config.listen ?? ownAddress);
  deps.clock.start();
  services.start();
  monitor.start();
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

function foundingOf(config: MasterConfig): Pick<DriverOptions, "join" | "foundWithout"> {
  return { join: config.join, foundWithout: config.foundWithout as MemberId[] };
}

/** Logs each change of the phase of this member: waits to be added, is a member, was removed. */
function logMemberPhase(log: Log, driver: Driver, addCommand: string): void {
  let logged = "member";
  const logChange = ({ memberPhase }: ConsensusStatus): void => {
    if (memberPhase === logged) return;
    logged = memberPhase;
    if (memberPhase === "joining") {
      log.info("This master waits to be added to a cluster", { command: addCommand });
    } else if (memberPhase === "member") {
      log.info("This master is now a member of the cluster");
    } else {
      log.warn("This master was removed from the cluster and can be stopped");
    }
  };
  driver.onChange(logChange);
  logChange(driver.status());
}

/** Registers the metrics of the history. */
function registerHistoryMetrics(
  metrics: Metrics,
  { namespace }: Pick<MasterDeps, "namespace">,
): void {
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
 * Creates the data directory of a master from a backup. All members in the config are voters of the
 * restored cluster.
 *
 * @throws {AshlarError} the errors of `restoreBackup`
 */
export function restoreMaster(
  config: RestoreConfig,
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
    restoreId: config.restoreId,
    membership: foundingRecord(foundersOf({ members, memberId })),
    file,
  });
}

type ServiceDeps = Omit<MasterDeps, "isFounding"> & {
  readonly registry: Registry;
  readonly repair: Repair;
  readonly sessions: SessionMonitor;
  readonly state: () => Namespace;
  readonly propose: (command: Parameters<typeof propose>[1]) => ReturnType<typeof propose>;
  readonly clock: ClusterClock;
};

function makeDeps(
  config: MasterConfig,
  env: Env,
  driver: Driver,
  pool: ConnectionPool,
): ServiceDeps {
  const { clock, random } = env;
  const log = env.log.child({ part: "fleet" });
  const times = {
    suspectMs: config.serverSuspectMs,
    deadMs: config.serverDeadMs,
    repairDelayMs: config.repairDelayMs,
    repairDelayStoppedMs: config.repairDelayStoppedMs,
  };
  const limits = {
    copiesPerTarget: config.repairCopiesPerServer,
    copiesTotal: config.repairCopiesTotal ?? null,
    orderTimeoutMs: ORDER_TIMEOUT_MS,
    massLossShare: config.repairMassLossShare,
    racksMin: config.defaultRacksMin,
  };
  const registry = new Registry({ clock, random, times });
  // `openStateMachine` in `startMaster` opens every state machine of this driver as a Namespace.
  const namespace = (): Namespace => driver.stateMachine as Namespace;
  const clusterClock = new ClusterClock({
    env: { clock, log },
    consensus: driver,
    state: namespace,
    fetchWallMs: ({ address }) => fetchWallMs(pool, address),
  });
  const nowMs = (): number => clusterClock.nowMs();
  driver.onStall((stalledMs) => registry.forgiveStall(stalledMs));
  return {
    env,
    consensus: driver,
    namespace,
    state: namespace,
    fleet: registry,
    registrations: new Registrations(),
    removal: new ServerRemoval(clock),
    registry,
    repair: new Repair({ registry, clock, log, limits }),
    sessions: new SessionMonitor({ idleMsMax: config.sessionIdleMsMax }),
    historyVersionsMax: config.historyVersionsMax,
    clock: clusterClock,
    nowMs,
    propose: (command) => propose({ consensus: driver, namespace, nowMs }, command),
  };
}

/** Makes the background services of the leader. They are not started. */
function makeServices(config: MasterConfig, deps: ServiceDeps, pool: ConnectionPool) {
  const reports = {
    ...deps,
    random: deps.env.random,
    featureLevel: () => deps.namespace().featureLevel,
    fetchReport: ({ address }: { readonly address: string }) => fetchStateReport(pool, address),
  };
  const upgrade = new FeatureUpgrade(reports);
  return {
    upgrade,
    services: new LeaderServices({ ...deps, upgrade, newCluster: newClusterOf(config, deps.env) }),
    monitor: new StateMonitor({ ...reports, intervalMs: config.checkpointIntervalMs }),
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

/** Fetches the clock of a master. @throws {AshlarError} VERSION_MISMATCH if its version reports none */
async function fetchWallMs(pool: ConnectionPool, address: string): Promise<number> {
  const { wallMs } = await fetchStatus(pool, address, FETCH_CLOCK_TIMEOUT_MS);
  if (wallMs !== undefined) return wallMs;
  throw new AshlarError("VERSION_MISMATCH", `The master at ${address} does not report its clock`);
}

/** Returns how the status of another master is fetched. */
function masterStatusOver(pool: ConnectionPool): StatusDeps {
  return { fetchMasterStatus: async (address) => (await fetchStatus(pool, address)).member };
}

/** Fetches the state report of a master. A version that reports no state supports only level 1. */
async function fetchStateReport(pool: ConnectionPool, address: string): Promise<StateReport> {
  const { state } = await fetchStatus(pool, address);
  return state ?? { featureLevelMax: FEATURE_LEVEL_FIRST, marks: [] };
}

async function fetchStatus(
  pool: ConnectionPool,
  address: string,
  timeoutMs = FETCH_STATUS_TIMEOUT_MS,
): Promise<ReturnType<(typeof memberStatus)["parseResponse"]>> {
  const reply = await pool.call(address, memberStatus, {}, { timeoutMs });
  reply.release();
  return reply.head;
}
