import { jsonName } from "../../../shared/display/format.ts";
import type { RunCommand } from "../command.ts";
import { forEachItem } from "../each-item.ts";
import { remoteTransfers, splitTarget } from "../transfer-targets.ts";

export const run: RunCommand = async (context, commandArguments, options) => {
  const { output, signal } = context;
  splitTarget(commandArguments); // Checks the usage before the connection is made.
  const fileSystem = await context.fileSystem();
  const noReplace = options["clobber"] === false;
  const transfers = remoteTransfers(context, commandArguments, { glob: options["glob"] !== false });
  await forEachItem(context, transfers, async ({ source, target }) => {
    await fileSystem.rename(source.bytes, target.bytes, { noReplace, signal });
    output.detail(`${source.text} -> ${target.text}`);
    if (!output.options.json) return;
    await output.json("ashlar.mv/1", {
      ...jsonName("from", source.bytes),
      ...jsonName("to", target.bytes),
    });
  });
};
