import * as v from "valibot";
import { parseChunkserverConfig } from "../../../chunkserver/config.ts";
import { type RunningChunkserver, startChunkserver } from "../../../chunkserver/server.ts";
import { type MasterConfig, masterConfigSchema } from "../../../master/config.ts";
import type { DriverLimits } from "../../../master/driver/driver.ts";
import type {
  MemberStorage,
  NamedStore,
  OpenStorage,
  StateDirectory,
} from "../../../master/driver/member-storage.ts";
import { type RunningMaster, startMaster } from "../../../master/server.ts";
import { openMemberStorage } from "../../../master/storage/open-member-storage.ts";
import { present } from "../../../shared/base/assert.ts";
import type { ClusterId } from "../../../shared/base/ids.ts";
import { SimulatedProcess } from "./simulated-process.ts";
import type { SimulationEnvironment } from "./simulation-environment.ts";

/** Id of the simulated cluster. */
export const CLUSTER_ID = "e".repeat(32) as ClusterId;
const MASTER_PORT = 7000;
const CHUNKSERVER_PORT = 7420;

/**
 * Small limits: within minutes of little traffic, segments are rolled, the log is compacted and
 * members need snapshots.
 */
const LIMITS: Partial<DriverLimits> = {
  logCacheBytes: 8 * 1024,
  logReadBytes: 64 * 1024,
  logSegmentBytes: 32 * 1024,
  flushBytes: 8 * 1024,
  snapshotPartBytes: 4 * 1024,
};

/**
 * Bytes of the log that a master keeps, by its member id: some leaders send a member that was away a
 * snapshot, and others the log from their disk.
 */
const KEPT_BYTES: readonly number[] = [0, 96 * 1024, 1024 * 1024];

/** Heartbeat interval of the masters at a pace of 1. */
const HEARTBEAT_MS = 100;
/** Minimum election timeout at a pace of 1. */
export const ELECTION_MS = 500;
/** Time without a heartbeat after which a chunkserver is suspected, at a pace of 1. */
export const SUSPECT_MS = 2_000;
/** Time without a heartbeat after which a chunkserver is considered dead, at a pace of 1. */
const DEAD_MS = 5_000;

/** Settings of all masters. The times are seconds where a real cluster has minutes to hours. */
const SETTINGS = {
  repairDelayMs: 3_000,
  repairDelayStoppedMs: 8_000,
  repairMassLossShare: 1,
  historyRetentionMs: 30_000,
  intentLifetimeMs: 20_000,
  sessionIdleMsMax: 20_000,
  checkpointIntervalMs: 5_000,
  inlineBytesMax: 512,
  stopGraceMs: 500,
};

/** The shortest value that the config permits. A scrub pass runs about every 45 s. */
const SCRUB_DAYS = 0.001;

/** A running master with its storage, which the checks inspect. */
export interface ObservedMaster extends AsyncDisposable {
  readonly master: RunningMaster;
  readonly storage: MemberStorage;
  /** Returns the name of the store with the current state. */
  readonly stateName: () => string;
}

/** Configuration of the master on one machine. The machine stays; its member can be replaced. */
export interface MasterSlot {
  readonly host: string;
  memberId: number;
  /** Whether the master is a member or is being added. Configs contain only these masters. */
  isMember: boolean;
  /** Whether the master starts with `join` and waits to be added to a running cluster. */
  isJoining: boolean;
}

/** A machine with a master process. */
export type SimulatedMaster = SimulatedProcess<ObservedMaster> & { readonly slot: MasterSlot };
/** A machine with a chunkserver process. */
export type SimulatedChunkserver = SimulatedProcess<RunningChunkserver>;

/** Returns the address on which the master of a host listens. */
export function masterAddress(host: string): string {
  return `${host}:${MASTER_PORT}`;
}

/** Number of machines for masters in addition to the founding members. */
const SPARE_SLOTS = 2;

/** Returns the addresses of the masters that a config contains now. */
export function addressesOf(masters: readonly SimulatedMaster[]): string[] {
  return masters.filter(({ slot }) => slot.isMember).map(({ host }) => masterAddress(host));
}

/** Makes the founding masters, followed by the spare machines. */
export function makeMasters(
  environment: SimulationEnvironment,
  options: {
    readonly masters: number;
    readonly pace: number;
    /** Replace those of SETTINGS. */
    readonly settings?: Partial<typeof SETTINGS>;
  },
): SimulatedMaster[] {
  const { masters, pace, settings = {} } = options;
  const slots = Array.from({ length: masters + SPARE_SLOTS }, (_, index): MasterSlot => {
    const isMember = index < masters;
    return { host: `m${index + 1}`, memberId: index + 1, isMember, isJoining: !isMember };
  });
  return slots.map((slot) => {
    const configOf = () => ({ ...masterConfig(slot, slots, pace), ...settings });
    const limits = { ...LIMITS, logKeptBytes: KEPT_BYTES[slot.memberId % KEPT_BYTES.length] ?? 0 };
    return Object.assign(makeMaster(environment, slot.host, { configOf, limits }), { slot });
  });
}

function masterConfig(slot: MasterSlot, slots: readonly MasterSlot[], pace: number): MasterConfig {
  return v.parse(masterConfigSchema, {
    dataDir: "/data",
    clusterId: CLUSTER_ID,
    memberId: slot.memberId,
    members: slots
      .filter((each) => each.isMember || each === slot)
      .map(({ host, memberId }) => `${memberId}=${masterAddress(host)}`),
    join: slot.isJoining,
    heartbeatIntervalMs: HEARTBEAT_MS * pace,
    electionTimeoutMsMin: ELECTION_MS * pace,
    serverSuspectMs: SUSPECT_MS * pace,
    serverDeadMs: DEAD_MS * pace,
    ...SETTINGS,
  });
}

function makeMaster(
  environment: SimulationEnvironment,
  host: string,
  {
    configOf,
    limits,
  }: { readonly configOf: () => MasterConfig; readonly limits: Partial<DriverLimits> },
): SimulatedProcess<ObservedMaster> {
  return new SimulatedProcess<ObservedMaster>(environment, host, async (run) => {
    let observed: Pick<ObservedMaster, "storage" | "stateName"> | null = null;
    const { env, disk, stores, onFatal } = run;
    const openStorage: OpenStorage = async (storageOptions) => {
      observed = observeState(await openMemberStorage({ ...storageOptions, stores }));
      return observed.storage;
    };
    const options = { onFatal, limits, openStorage };
    const master = await startMaster(configOf(), env, { disk, stores }, options);
    const { storage, stateName } = present<ObservedStorage>(
      observed,
      "a running master has storage",
    );
    return {
      master,
      storage,
      stateName,
      [Symbol.asyncDispose]: () => master[Symbol.asyncDispose](),
    };
  });
}

/** The storage of a member with the name of its current state. */
type ObservedStorage = Pick<ObservedMaster, "storage" | "stateName">;

/** Wraps the storage of a member to record which of its stores has the current state. */
function observeState(storage: MemberStorage): ObservedStorage {
  let current = "";
  const note = (named: NamedStore): NamedStore => {
    current = named.name;
    return named;
  };
  const { states } = storage;
  const observed: StateDirectory = {
    openCurrent: async () => note(await states.openCurrent()),
    startOver: async () => note(await states.startOver()),
    openFresh: () => states.openFresh(),
    switchTo: async (name) => {
      await states.switchTo(name);
      current = name;
    },
    remove: (name) => states.remove(name),
    get isLogResetPending() {
      return states.isLogResetPending;
    },
    endLogReset: () => states.endLogReset(),
  };
  return { storage: { ...storage, states: observed }, stateName: () => current };
}

/** Makes a machine with a chunkserver. Chunkservers are assigned to three racks in turn. */
export function makeChunkserver(
  environment: SimulationEnvironment,
  id: number,
  masters: () => readonly string[],
  joinToken: () => string | undefined,
  more: Readonly<Record<string, unknown>> = {},
): SimulatedChunkserver {
  const settings = {
    dataDir: "/data",
    listen: `c${id}:${CHUNKSERVER_PORT}`,
    http: null,
    host: `c${id}`,
    rack: `rack-${id % 3}`,
    clusterId: CLUSTER_ID,
    reserveBytes: 0,
    scrubPassDaysMax: SCRUB_DAYS,
    stopGraceMs: 500,
    ...more,
  };
  return new SimulatedProcess(environment, `c${id}`, ({ env, disk, stores, onFatal }) => {
    const given = { masters: masters(), joinToken: joinToken() };
    const config = parseChunkserverConfig({ ...settings, ...given });
    return startChunkserver(config, env, { disk, stores }, { onFatal });
  });
}

/** Returns whether the master is the leader according to its own status. */
export function isLeading({ running }: SimulatedMaster): boolean {
  return running?.master.consensus.status().role === "leader";
}

/**
 * Returns the members according to the leader, as "<id> <vote>", sorted. Empty without a leader.
 */
export function membersOf(leader: SimulatedMaster | undefined): string[] {
  const { members } = leader?.running?.master.consensus.membership() ?? { members: [] };
  return members.map(({ id, vote }) => `${id} ${vote}`).sort();
}
