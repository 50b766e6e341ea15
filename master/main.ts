import { runDaemon } from "../shared/platform/daemon.ts";
import { healthRoutes } from "../shared/platform/http-health.ts";
import { startHttpServer } from "../shared/platform/http-server.ts";
import { checkMasterConfig, MASTER_CONFIG_HELP, masterConfigSchema } from "./config.ts";
import { type RunningMaster, startMaster } from "./server.ts";

/** Beyond the grace for calls in flight: the last flush, closing. */
const STOP_SLACK_MS = 5_000;

/** `ashlar master`. @returns the exit status */
export function main(commandLine: readonly string[]): Promise<number> {
  return runDaemon(
    {
      role: "master",
      schema: masterConfigSchema,
      describe: MASTER_CONFIG_HELP,
      check: checkMasterConfig,
      stopMsMax: (config) => config.stopGraceMs + STOP_SLACK_MS,
      start: async ({ config, env, disk, stores, scrape, onFatal }) => {
        const master = await startMaster(config, env, { disk, stores }, { onFatal });
        const http =
          config.http === null
            ? null
            : await startHttpServer({
                address: config.http,
                middleware: [healthRoutes({ ready: () => readiness(master), scrape })],
                log: env.log.child({ part: "http" }),
              });
        return {
          facts: {
            address: master.address,
            http: http?.address ?? null,
            memberId: config.memberId,
          },
          [Symbol.asyncDispose]: async () => {
            await http?.close();
            await master[Symbol.asyncDispose]();
          },
        };
      },
    },
    commandLine,
  );
}

/** Ready: this member knows a leader, so that it serves or can say who does. */
function readiness(master: RunningMaster): { ready: boolean; reason?: string } {
  const { leaderId } = master.consensus.status();
  return leaderId === null ? { ready: false, reason: "no leader is known" } : { ready: true };
}
