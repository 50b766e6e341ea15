import { Closers } from "../../shared/flow/closers.ts";
import {
  type ClusterAddress,
  noClusterSet,
  parseClusterAddress,
} from "../../shared/platform/cluster-address.ts";
import { runDaemonProcess } from "../../shared/platform/daemon-process.ts";
import { loadUserConfig } from "../../shared/platform/user-config.ts";
import { GATEWAY_CONFIG_HELP, type GatewayConfig, gatewayConfigSchema } from "./config.ts";

/** Time to close the session with the masters, in addition to the grace period of requests. */
const STOP_SLACK_MS = 5_000;

/** Runs `ashlar gateway`. @returns the exit status */
export function main(commandLine: readonly string[]): Promise<number> {
  return runDaemonProcess(
    {
      role: "gateway",
      schema: gatewayConfigSchema,
      defaultLogTo: "stderr",
      about: [
        "Serves the files of a cluster over HTTP: GET, PUT, POST and DELETE below /files/, and web",
        "pages to browse and upload. It has no authentication: every client has full access.",
      ],
      examples: [
        ["ashlar gateway --cluster /tmp/five", "then open http://127.0.0.1:7480/ in a browser"],
        [
          "curl -T report.pdf http://127.0.0.1:7480/files/docs/report.pdf",
          "upload a file; curl -r 0-99 reads a part of it",
        ],
      ],
      describe: GATEWAY_CONFIG_HELP,
      page: "docs/gateway.md",
      stopMsMax: (config) => config.stopGraceMs + STOP_SLACK_MS,
      start: async ({ config, env, scrape, signal }) => {
        const { masters, clusterId } = await clusterAddress(config);
        const [{ connect }, { startGateway }, { whileReporting }] = await Promise.all([
          import("../connect.ts"),
          import("./server.ts"),
          import("./startup-wait.ts"),
        ]);
        await using closers = new Closers();
        const files = closers.use(
          await whileReporting(env, { masters, clusterId }, () =>
            connect({
              masters,
              ...(clusterId === null ? {} : { clusterId }),
              clientName: "gateway",
              timeoutMs: config.timeoutMs,
              env,
              signal,
            }),
          ),
        );
        const { clock, log, metrics } = env;
        const gateway = closers.use(
          await startGateway(config, { files, clock, log, metrics, scrape }),
        );
        const owned = closers.move();
        return {
          facts: { address: gateway.address },
          [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
        };
      },
    },
    commandLine,
  );
}

/**
 * Returns the cluster in the gateway's config, else the one in the user's config file. Either can be
 * a name in the user's config file.
 */
async function clusterAddress({ cluster }: GatewayConfig): Promise<ClusterAddress> {
  const { values, clusters, path } = await loadUserConfig();
  const value = cluster ?? values.cluster;
  if (value === undefined) throw noClusterSet();
  const where = Object.hasOwn(clusters, value) ? (clusters[value] ?? value) : value;
  return parseClusterAddress(where, cluster === undefined ? `"cluster" in ${path}` : "--cluster");
}
