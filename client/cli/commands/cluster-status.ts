import { LocalCluster } from "../cluster/local-cluster.ts";
import { clusterDirectory } from "../cluster-directory.ts";
import type { RunCommand } from "../command.ts";
import { Degraded } from "../exit-status.ts";
import { formatTable } from "../table-view.ts";

export const run: RunCommand = async (context, _arguments, options) => {
  const { output } = context;
  const cluster = await LocalCluster.open(await clusterDirectory(context, options));
  const states = await cluster.states();
  if (output.options.json) {
    for (const state of states) await output.json("ashlar.cluster-status/1", { ...state });
  } else {
    const rows = states.map((state) => [
      state.name,
      state.role,
      state.pid === null ? "down" : "running",
      state.pid === null ? "-" : String(state.pid),
      state.address,
      state.http,
      state.log,
    ]);
    await output.line(
      formatTable(["NODE", "ROLE", "STATE", "PID", "ADDRESS", "HTTP", "LOG"], rows),
    );
  }
  if (states.some((state) => state.pid === null)) throw new Degraded();
};
