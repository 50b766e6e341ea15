import { constants } from "node:os";
import { AshlarError } from "../../../shared/base/errors.ts";
import { LocalCluster } from "../cluster/local-cluster.ts";
import { clusterDirectory } from "../cluster-directory.ts";
import type { RunCommand } from "../command.ts";

export const run: RunCommand = async (context, commandArguments, options) => {
  const { output } = context;
  const [name = ""] = commandArguments;
  const cluster = await LocalCluster.open(await clusterDirectory(context, options));
  const signal = parseSignal(String(options["signal"]));
  await cluster.kill(name, signal);
  if (output.options.json) await output.json("ashlar.cluster-kill/1", { node: name, signal });
  else output.note(`sent ${signal} to ${name}`);
};

/** "9", "KILL" and "SIGKILL" say the same. @throws {AshlarError} INVALID_ARGUMENT */
function parseSignal(text: string): NodeJS.Signals {
  const upper = text.toUpperCase();
  const name = upper.startsWith("SIG") ? upper : `SIG${upper}`;
  for (const [signal, number] of Object.entries(constants.signals)) {
    if (signal === name || String(number) === text) return signal as NodeJS.Signals;
  }
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot use --signal: expected a number or a name such as KILL, TERM, STOP or CONT: got "${text}"`,
  );
}
