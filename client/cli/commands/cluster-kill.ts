import { constants } from "node:os";
import { LocalCluster } from "../cluster/local-cluster.ts";
import { clusterDirectory } from "../cluster-directory.ts";
import type { RunCommand } from "../command.ts";
import { invalidValue } from "../parse-values.ts";

export const run: RunCommand = async (context, commandArguments, options) => {
  const { output } = context;
  const [text = ""] = commandArguments;
  const cluster = await LocalCluster.open(await clusterDirectory(context, options));
  const { name } = await cluster.find(text);
  const signal = parseSignal(String(options["signal"]));
  await context.waits.during(`${name} to stop`, () => cluster.kill(name, signal));
  if (output.options.json) await output.json("ashlar.cluster-kill/1", { node: name, signal });
  else output.note(`sent ${signal} to ${name}`);
};

/**
 * Parses the number or the name of a signal: "9", "KILL" or "SIGKILL".
 *
 * @throws {AshlarError} INVALID_ARGUMENT
 */
function parseSignal(text: string): NodeJS.Signals {
  const upper = text.toUpperCase();
  const name = upper.startsWith("SIG") ? upper : `SIG${upper}`;
  for (const [signal, number] of Object.entries(constants.signals)) {
    if (signal === name || String(number) === text) return signal as NodeJS.Signals;
  }
  throw invalidValue("--signal", "a number or a name such as KILL, TERM, STOP or CONT", text);
}
