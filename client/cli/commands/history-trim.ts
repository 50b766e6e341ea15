import { formatCount } from "../../../shared/display/format.ts";
import type { RunCommand } from "../command.ts";
import { confirm } from "../confirm.ts";

const QUESTION = "Forget all old versions? Removed and replaced files can then not be restored";

export const run: RunCommand = async (context, _arguments, options) => {
  const { output, signal } = context;
  if (options["yes"] !== true && !(await confirm(context, QUESTION))) {
    output.note("nothing was changed");
    return;
  }
  const fileSystem = await context.fileSystem();
  const before = await fileSystem.status({ signal });
  const { oldestIndex } = await fileSystem.trimHistory({ signal });
  const { versions } = before.history;
  if (output.options.json) {
    await output.json("ashlar.history-trim/1", { versions, oldest_index: oldestIndex });
    return;
  }
  output.note(
    `forgot ${formatCount(versions, "old version")}; the chunkservers free the space within a minute`,
  );
};
