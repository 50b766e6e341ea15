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
import type { World } from "./simulation-environment.ts";

export const CLUSTER_ID = "e".repeat(32) as ClusterId;
const MASTER_PORT = 7000;
const CHUNKSERVER_PORT = 7420;

/** Small, so that minutes of little traffic roll segments, compact the log and need snapshots. */
const LIMITS: Partial<DriverLimits> = {
  logTailEntries: 60,
  logTailBytes: 64 * 1024,
  logSegmentBytes: 32 * 1024,
  flushBytes: 8 * 1024,
  snapshotPartBytes: 4 * 1024,
};

/** How soon silence is noticed at a pace of 1. */
const HEARTBEAT_MS = 100;
export const ELECTION_MS = 500;
export const SUSPECT_MS = 2_000;
const DEAD_MS = 5_000;

/** What the cluster agrees on: minutes where a real one takes hours. */
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

/** The shortest that there is: a pass every three quarters of a minute. */
const SCRUB_DAYS = 0.001;

/** A running master, and what it keeps on its disk as it sees it. */
export interface WatchedMaster extends AsyncDisposable {
  readonly master: RunningMaster;
  readonly storage: MemberStorage;
  /** The name of the store that is the state. */
  readonly stateName: () => string;
}

/** A master in its place: the machine stays, who sits there may be replaced. */
export interface Seat {
  readonly host: string;
  memberId: number;
  /** Whoever sits there belongs to the cluster, or is about to: configs name it. */
  isIn: boolean;
  /** It waits to be added to a cluster that runs. */
  isJoining: boolean;
}

export type SimulatedMaster = SimulatedProcess<WatchedMaster> & { readonly seat: Seat };
export type SimulatedChunkserver = SimulatedProcess<RunningChunkserver>;

export function masterAddress(host: string): string {
  return `${host}:${MASTER_PORT}`;
}

/** Places for more masters than a cluster begins with. */
const SPARE_SEATS = 2;

/** What a config names now: the masters that are in the cluster. */
export function addressesOf(masters: readonly SimulatedMaster[]): string[] {
  return masters.filter(({ seat }) => seat.isIn).map(({ host }) => masterAddress(host));
}

/** Those that found the cluster, then seats that are empty. */
export function makeMasters(
  world: World,
  { masters, pace }: { readonly masters: number; readonly pace: number },
): SimulatedMaster[] {
  const seats = Array.from({ length: masters + SPARE_SEATS }, (_, index): Seat => {
    const isIn = index < masters;
    return { host: `m${index + 1}`, memberId: index + 1, isIn, isJoining: !isIn };
  });
  return seats.map((seat) => {
    const configOf = () => masterConfig(seat, seats, pace);
    return Object.assign(makeMaster(world, seat.host, configOf), { seat });
  });
}

function masterConfig(seat: Seat, seats: readonly Seat[], pace: number): MasterConfig {
  return v.parse(masterConfigSchema, {
    dataDir: "/data",
    clusterId: CLUSTER_ID,
    memberId: seat.memberId,
    members: seats
      .filter((each) => each.isIn || each === seat)
      .map(({ host, memberId }) => `${memberId}=${masterAddress(host)}`),
    join: seat.isJoining,
    heartbeatIntervalMs: HEARTBEAT_MS * pace,
    electionTimeoutMsMin: ELECTION_MS * pace,
    serverSuspectMs: SUSPECT_MS * pace,
    serverDeadMs: DEAD_MS * pace,
    ...SETTINGS,
  });
}

function makeMaster(
  world: World,
  host: string,
  configOf: () => MasterConfig,
): SimulatedProcess<WatchedMaster> {
  return new SimulatedProcess<WatchedMaster>(world, host, async (life) => {
    let watched: Pick<WatchedMaster, "storage" | "stateName"> | null = null;
    const { env, disk, stores, onFatal } = life;
    const openStorage: OpenStorage = async (options) => {
      watched = watchState(await openMemberStorage({ ...options, stores }));
      return watched.storage;
    };
    const hooks = { onFatal, limits: LIMITS, openStorage };
    const master = await startMaster(configOf(), env, { disk, stores }, hooks);
    const { storage, stateName } = present<Watched>(watched, "a master that runs has storage");
    return {
      master,
      storage,
      stateName,
      [Symbol.asyncDispose]: () => master[Symbol.asyncDispose](),
    };
  });
}

type Watched = Pick<WatchedMaster, "storage" | "stateName">;

/** The member's storage, with an eye on which of its stores is the state. */
function watchState(storage: MemberStorage): Watched {
  let current = "";
  const note = (named: NamedStore): NamedStore => {
    current = named.name;
    return named;
  };
  const { states } = storage;
  const watched: StateDirectory = {
    openCurrent: async () => note(await states.openCurrent()),
    startOver: async () => note(await states.startOver()),
    openFresh: () => states.openFresh(),
    switchTo: async (name) => {
      await states.switchTo(name);
      current = name;
    },
    remove: (name) => states.remove(name),
  };
  return { storage: { ...storage, states: watched }, stateName: () => current };
}

export function makeChunkserver(
  world: World,
  id: number,
  masters: () => readonly string[],
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
  };
  return new SimulatedProcess(world, `c${id}`, ({ env, disk, stores, onFatal }) => {
    const config = parseChunkserverConfig({ ...settings, masters: masters() });
    return startChunkserver(config, env, { disk, stores }, { onFatal });
  });
}

export function isLeading({ running }: SimulatedMaster): boolean {
  return running?.master.consensus.status().role === "leader";
}

/** As the leader has them: number and vote of each. */
export function membersOf(leader: SimulatedMaster | undefined): string[] {
  const { members } = leader?.running?.master.consensus.membership() ?? { members: [] };
  return members.map(({ id, vote }) => `${id} ${vote}`).sort();
}
