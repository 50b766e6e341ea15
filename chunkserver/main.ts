import { runDaemon } from "../shared/platform/daemon.ts";
import { hostName } from "../shared/platform/host-name.ts";
import { CHUNKSERVER_CONFIG_HELP, chunkserverConfigSchema } from "./config.ts";

/** Time allowed after the stop grace: goodbye to the leader, last commits, closing of the disk. */
const STOP_SLACK_MS = 5_000;

/** Runs `ashlar chunkserver`. Resolves with the exit status. */
export function main(commandLine: readonly string[]): Promise<number> {
  return runDaemon(
    {
      role: "chunkserver",
      schema: chunkserverConfigSchema,
      describe: CHUNKSERVER_CONFIG_HELP,
      stopMsMax: (config) => config.stopGraceMs + STOP_SLACK_MS,
      start: async ({ config, env, disk, stores, scrape, onFatal }) => {
        const { startChunkserver } = await import("./server.ts");
        const host = config.host ?? hostName();
        const storage = { disk, stores };
        const server = await startChunkserver({ ...config, host }, env, storage, {
          onFatal,
          scrape,
        });
        const { serverId, address, httpAddress, serving } = server;
        return {
          facts: { serverId, address, http: httpAddress },
          serving,
          [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
        };
      },
    },
    commandLine,
  );
}
