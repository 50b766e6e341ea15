import { jsonName } from "../../../shared/display/format.ts";
import type { RunCommand } from "../command.ts";
import { forEachItem } from "../each-item.ts";
import { parseExactPath, refuseDotNames } from "../remote-paths.ts";

export const run: RunCommand = async (context, commandArguments) => {
  refuseDotNames(commandArguments, "remove");
  const fileSystem = await context.fileSystem();
  await forEachItem(context, commandArguments, async (argument) => {
    const path = parseExactPath(argument);
    await fileSystem.rmdir(path.bytes, { signal: context.signal });
    if (context.output.options.json) {
      await context.output.json("ashlar.rmdir/1", jsonName("path", path.bytes));
    }
  });
};
