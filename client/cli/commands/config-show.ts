import { loadUserConfig, SETTING_KEYS } from "../../../shared/platform/user-config.ts";
import type { RunCommand } from "../command.ts";
import { formatTable } from "../table-view.ts";

export const run: RunCommand = async (context, _arguments, options) => {
  const { env, output, settings } = context;
  const rows = SETTING_KEYS.map((key) => settings[key]);
  if (output.options.json) {
    for (const row of rows) await output.json("ashlar.config/1", { ...row });
    return;
  }
  const hasOrigin = options["origin"] === true;
  const headings = hasOrigin ? ["KEY", "VALUE", "ORIGIN"] : ["KEY", "VALUE"];
  const cells = rows.map(({ key, value, origin }) =>
    hasOrigin ? [key, value, origin] : [key, value],
  );
  const columns = headings.map((heading) => ({ heading }));
  await output.line(formatTable(columns, cells, output.columns));
  if (!hasOrigin) return;
  const { path, exists } = await loadUserConfig(env.variables);
  output.note(`config file: ${path}${exists ? "" : " (does not exist)"}`);
};
