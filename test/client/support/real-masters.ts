import * as v from "valibot";
import { freeAddresses } from "../../../client/cli/cluster/free-ports.ts";
import { type MasterConfig, masterConfigSchema } from "../../../master/config.ts";
import { type RunningMaster, startMaster } from "../../../master/server.ts";
import type { ClusterId } from "../../../shared/base/ids.ts";
import { Closers } from "../../../shared/flow/closers.ts";
import { LmdbStores } from "../../../shared/platform/lmdb-store.ts";
import { NodeDisk } from "../../../shared/platform/node-disk.ts";
import type { Env } from "../../../shared/ports/env.ts";
import { TempDirectory } from "../../support/temp-directory.ts";

/** One running master. */
export interface RealMaster {
  readonly address: string;
  readonly running: RunningMaster;
  /** Stops the master and closes its connections. */
  stop(): Promise<void>;
}

/** A Raft group of running masters. Disposing it stops all of them. */
export interface RealMasters extends AsyncDisposable {
  readonly members: readonly RealMaster[];
  /** Returns the current leader that is ready to serve, or undefined. */
  leader(): RealMaster | undefined;
}

/** Settings of the masters of one group. */
export interface RealMasterOptions {
  readonly clusterId: ClusterId;
  readonly makeEnv: () => Env;
  readonly settings: Partial<MasterConfig>;
}

/** Starts a Raft group of real masters on loopback, each with its own data directory. */
export async function startRealMasters(
  options: RealMasterOptions & { readonly count: number },
): Promise<RealMasters> {
  await using closers = new Closers();
  const addresses = await freeAddresses(0, options.count);
  const members: RealMaster[] = [];
  for (const [position] of addresses.entries()) {
    members.push(await startRealMaster(options, { addresses, position, closers }));
  }
  const owned = closers.move();
  return {
    members,
    leader: () =>
      members.find(({ running }) => {
        const { role, isReady } = running.consensus.status();
        return role === "leader" && isReady;
      }),
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  };
}

/** Starts the master at one of the addresses of a group. It stops with `closers`. */
export async function startRealMaster(
  options: RealMasterOptions,
  group: {
    readonly addresses: readonly string[];
    readonly position: number;
    readonly closers: Closers;
    /** The data directory. Default: an empty one. */
    readonly path?: string;
  },
): Promise<RealMaster> {
  const { addresses, position, closers } = group;
  const path = group.path ?? closers.use(await TempDirectory.make()).path;
  const config = v.parse(masterConfigSchema, {
    dataDir: path,
    clusterId: options.clusterId,
    memberId: position + 1,
    members: addresses.map((each, index) => `${index + 1}=${each}`),
    stopGraceMs: 0,
    ...options.settings,
  });
  const storage = { disk: new NodeDisk(path), stores: new LmdbStores(`${path}/stores`) };
  const onFatal = (error: unknown): void => {
    throw error;
  };
  const running = await startMaster(config, options.makeEnv(), storage, { onFatal });
  let isStopped = false;
  const stop = async (): Promise<void> => {
    if (isStopped) return;
    isStopped = true;
    await running[Symbol.asyncDispose]();
  };
  closers.defer(stop);
  return { address: addresses[position] as string, running, stop };
}
