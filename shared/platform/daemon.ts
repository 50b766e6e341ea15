import type * as v from "valibot";
import { Closers } from "../flow/closers.ts";
import type { Disk } from "../ports/disk.ts";
import type { OrderedStores } from "../ports/ordered-store.ts";
import type { ConfigSchema } from "./config.ts";
import {
  type DaemonProcessDefinition,
  type DaemonProcessDeps,
  runDaemonProcess,
} from "./daemon-process.ts";
import { lockDataDirectory } from "./data-directory-lock.ts";
import { NodeDisk } from "./node-disk.ts";

/** A role with a data directory. The key `dataDir` of its config is the path. */
export type DaemonDefinition<Schema extends ConfigSchema> = DaemonProcessDefinition<
  Schema,
  DaemonDeps<v.InferOutput<Schema>>
>;

/** Dependencies of a role with a data directory. */
export interface DaemonDeps<Config> extends DaemonProcessDeps<Config> {
  /** The data directory. The process holds its lock. */
  readonly disk: Disk;
  /** The LMDB stores in the folder `stores` of the data directory. */
  readonly stores: OrderedStores;
}

/**
 * Runs a role with a data directory: see `runDaemonProcess`. It takes the lock of the directory
 * before the start and releases it after the stop.
 *
 * @returns the exit status: 0 after a graceful stop, the status of the error code after an error
 */
export function runDaemon<Schema extends ConfigSchema>(
  definition: DaemonDefinition<Schema>,
  commandLine: readonly string[],
): Promise<number> {
  const start = async (deps: DaemonProcessDeps<v.InferOutput<Schema>>) => {
    const { dataDir } = deps.config as { readonly dataDir: string };
    const { LmdbStores } = await import("./lmdb-store.ts");
    await using closers = new Closers();
    closers.use(await lockDataDirectory(dataDir));
    const disk = new NodeDisk(dataDir);
    const stores = new LmdbStores(`${dataDir}/stores`, (path) =>
      deps.env.log.info("Converting a store of version 0.1.0", { path }),
    );
    const started = closers.use(await definition.start({ ...deps, disk, stores }));
    const owned = closers.move();
    return { ...started, [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose]() };
  };
  return runDaemonProcess({ ...definition, start }, commandLine);
}
