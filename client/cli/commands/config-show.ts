import type { RunCommand } from "../command.ts";
import { formatTable } from "../table-view.ts";
import { loadUserConfig } from "../user-config.ts";

const KEYS = [
  { key: "cluster", variable: "ASHLAR_CLUSTER", fallback: "" },
  { key: "color", variable: "ASHLAR_COLOR", fallback: "auto" },
  { key: "progress", variable: "ASHLAR_PROGRESS", fallback: "auto" },
  { key: "timeout", variable: "ASHLAR_TIMEOUT", fallback: "30s" },
] as const;

export const run: RunCommand = async (context, _arguments, options) => {
  const { output } = context;
  const { values, path, exists } = await loadUserConfig();
  const rows = KEYS.map(({ key, variable, fallback }) => {
    const flag = options[key] as string | undefined;
    const fromEnvironment = process.env[variable] ?? "";
    if (flag !== undefined && flag !== fromEnvironment)
      return { key, value: flag, origin: `--${key}` };
    if (fromEnvironment !== "") return { key, value: fromEnvironment, origin: variable };
    const fromFile = values[key];
    if (fromFile !== undefined) return { key, value: fromFile, origin: path };
    return { key, value: fallback, origin: "default" };
  });
  if (output.options.json) {
    for (const row of rows) await output.json("ashlar.config/1", row);
    return;
  }
  const withOrigin = options["origin"] === true;
  const headings = withOrigin ? ["KEY", "VALUE", "ORIGIN"] : ["KEY", "VALUE"];
  const cells = rows.map(({ key, value, origin }) =>
    withOrigin ? [key, value, origin] : [key, value],
  );
  await output.line(formatTable(headings, cells));
  if (withOrigin) output.note(`config file: ${path}${exists ? "" : " (not there)"}`);
};
