import { basename, dirname, resolve } from "node:path";
import { Closers } from "../shared/flow/closers.ts";
import { runDaemon } from "../shared/platform/daemon.ts";
import { boundHeapGrowth } from "../shared/platform/heap-growth.ts";
import { NodeDisk } from "../shared/platform/node-disk.ts";
import {
  checkMasterConfig,
  checkRestoreConfig,
  MASTER_CONFIG_HELP,
  type MasterConfig,
  masterConfigSchema,
  restoreConfigSchema,
} from "./config.ts";
import { readiness } from "./readiness.ts";
import type { RestoreResult } from "./storage/restore-backup.ts";

/** Time for the last flush and for closing, in addition to the grace period of calls. */
const STOP_SLACK_MS = 5_000;
const RESTORE = "restore-cluster";

/** `ashlar master`, and `ashlar restore-cluster`. @returns the exit status */
export function main(commandLine: readonly string[]): Promise<number> {
  const [first, ...rest] = commandLine;
  return first === RESTORE ? restoreCluster(rest) : runMaster(commandLine);
}

function runMaster(commandLine: readonly string[]): Promise<number> {
  boundHeapGrowth();
  return runDaemon(
    {
      role: "master",
      schema: masterConfigSchema,
      examples: [
        [
          "ashlar master --config /etc/ashlar/master.toml --member-id 4 --join true",
          "joins a running cluster: the master waits until `ashlar master add 4=HOST:PORT`",
        ],
      ],
      describe: MASTER_CONFIG_HELP,
      check: checkMasterConfig,
      stopMsMax: (config) => config.stopGraceMs + STOP_SLACK_MS,
      start: async ({ config, env, disk, stores, scrape, signal, onFatal }) => {
        const [{ startMaster }, { startHttpServer }] = await Promise.all([
          import("./server.ts"),
          import("../shared/platform/http-server.ts"),
        ]);
        await using closers = new Closers();
        const master = closers.use(
          await startMaster(config, env, { disk, stores }, { onFatal, signal }),
        );
        const http =
          config.http === null
            ? null
            : closers.use(
                await startHttpServer({
                  address: config.http,
                  middleware: async () => {
                    const { healthRoutes } = await import("../shared/platform/http-health.ts");
                    return [
                      healthRoutes({
                        ready: () => readiness(master.consensus.status(), master.address),
                        scrape,
                      }),
                    ];
                  },
                  log: env.log.child({ part: "http" }),
                }),
              );
        const owned = closers.move();
        return {
          facts: {
            address: master.address,
            http: http?.address ?? null,
            memberId: config.memberId,
          },
          [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
        };
      },
    },
    commandLine,
  );
}

/** Creates the data directory of a master from a backup, with the config of that master. */
function restoreCluster(commandLine: readonly string[]): Promise<number> {
  return runDaemon(
    {
      role: RESTORE,
      configName: "master",
      operand: "backup",
      schema: restoreConfigSchema,
      about: [
        "Run it on each master, with the same file and the same members. The first run prints the command for",
        "the others, with the id of this restore.",
      ],
      describe: {
        ...MASTER_CONFIG_HELP,
        backup: "a file written by `ashlar backup`",
        restoreId: "the id that the restore of the first master has printed (flag only)",
      },
      check: checkRestoreConfig,
      stopMsMax: () => STOP_SLACK_MS,
      isJob: true,
      start: async ({ config, env, disk, stores }) => {
        const { restoreMaster } = await import("./server.ts");
        const path = resolve(config.backup);
        const file = await new NodeDisk(dirname(path)).open(basename(path), "read");
        try {
          const restored = await restoreMaster(config, env, { disk, stores }, file);
          const { index, term, restoreId } = restored;
          return {
            facts: { index, term, restoreId, memberId: config.memberId },
            report: restoreReport({ ...config, isFirst: config.restoreId === undefined }, restored),
            [Symbol.asyncDispose]: async () => {},
          };
        } finally {
          await file.close();
        }
      },
    },
    commandLine,
  );
}

/** Returns what the command prints: after the first restore also the command for the other members. */
function restoreReport(
  config: MasterConfig & { readonly backup: string; readonly isFirst: boolean },
  { head, index, restoreId }: RestoreResult,
): string {
  const { memberId, clusterId, dataDir, members, isFirst } = config;
  const done = `Restored master ${memberId} of cluster ${clusterId} in ${dataDir}: the state at index ${head.index} now has index ${index}`;
  if (!isFirst || members.length === 1) return done;
  const command = `ashlar ${RESTORE} ${config.backup} --config FILE --restore-id ${restoreId}`;
  return `${done}\nOn each other master, with its own config: ${command}`;
}
