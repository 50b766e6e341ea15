import { formatTime } from "../../../shared/display/format.ts";
import type { RunCommand } from "../command.ts";
import { confirm } from "../confirm.ts";

const QUESTION =
  "Set the time of the cluster to the median of the masters' clocks? Check those clocks first";

export const run: RunCommand = async (context, _arguments, options) => {
  const { output, signal } = context;
  if (options["yes"] !== true && !(await confirm(context, QUESTION))) {
    output.note("nothing was changed");
    return;
  }
  const fileSystem = await context.fileSystem();
  const { fromMs, toMs } = await fileSystem.masters.resetClock({ signal });
  if (output.options.json) {
    await output.json("ashlar.reset-clock/1", { from_ms: fromMs, to_ms: toMs });
  } else {
    output.note(
      `the time of the cluster is ${formatTime(toMs)}; before, it was ${formatTime(fromMs)}`,
    );
  }
};
