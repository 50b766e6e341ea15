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
    const columns = [
      { heading: "NODE" },
      { heading: "ROLE", dropRank: 1 },
      { heading: "STATE" },
      { heading: "PID" },
      { heading: "ADDRESS" },
      { heading: "HTTP", dropRank: 2 },
      { heading: "LOG", dropRank: 3 },
    ];
    await output.line(formatTable(columns, rows, output.columns));
  }
  if (states.some((state) => state.pid === null)) throw new Degraded();
};
