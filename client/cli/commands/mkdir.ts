import { jsonName } from "../../../shared/display/format.ts";
import type { RunCommand } from "../command.ts";
import { forEachItem } from "../each-item.ts";
import { withParentHint } from "../parent-hint.ts";
import { parseExactPath } from "../remote-paths.ts";

export const run: RunCommand = async (context, commandArguments, options) => {
  const fileSystem = await context.fileSystem();
  const mode = options["mode"] as number | undefined;
  await forEachItem(context, commandArguments, async (argument) => {
    const path = parseExactPath(argument);
    const { inode } = await withParentHint(context, path.bytes, () =>
      fileSystem.mkdir(path.bytes, {
        parents: options["parents"] === true,
        ...(mode === undefined ? {} : { mode }),
        signal: context.signal,
      }),
    );
    if (context.output.options.json) {
      await context.output.json("ashlar.mkdir/1", { ...jsonName("path", path.bytes), inode });
    }
  });
};
