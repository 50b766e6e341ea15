import { loadUserConfig } from "../../../shared/platform/user-config.ts";
import type { RunCommand } from "../command.ts";
import { formatTable } from "../table-view.ts";

export const run: RunCommand = async (context) => {
  const { env, output, settings } = context;
  const { path, clusters } = await loadUserConfig(env.variables);
  const { name: usedName, value, origin } = settings.cluster;
  const rows = Object.entries(clusters).sort(([left], [right]) => (left < right ? -1 : 1));
  if (output.options.json) {
    for (const [name, where] of rows) {
      await output.json("ashlar.cluster-list/1", { name, where, is_used: name === usedName });
    }
    return;
  }
  const cells = rows.map(([name, where]) => [name === usedName ? "*" : "", name, where]);
  const columns = ["", "NAME", "CLUSTER"].map((heading) => ({ heading }));
  if (rows.length > 0) await output.line(formatTable(columns, cells, output.columns));
  else output.note(`no names in ${path}; hint: ashlar cluster use NAME HOST:PORT,…`);
  if (usedName === undefined && value !== "") output.note(`in use: ${value} (${origin})`);
};
