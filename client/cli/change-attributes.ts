import { jsonName } from "../../shared/display/format.ts";
import type { AttributeChanges } from "../options.ts";
import type { CommandContext, OptionValues } from "./command.ts";
import { forEachItem } from "./each-item.ts";
import { expandPaths, type RemotePath, remotePath } from "./remote-paths.ts";

/** Sets attributes of paths, and with the option `recursive` of every entry below them. */
export async function changeAttributes(
  context: CommandContext,
  commandArguments: readonly string[],
  changes: AttributeChanges,
  options: OptionValues,
): Promise<void> {
  const { output, signal } = context;
  const fileSystem = await context.fileSystem();
  const paths = expandPaths(context, commandArguments, { glob: options["glob"] !== false });
  const targets = async function* (): AsyncGenerator<RemotePath> {
    for await (const path of paths) {
      yield path;
      if (options["recursive"] !== true) continue;
      for await (const entry of fileSystem.walk(path.bytes, { signal }))
        yield remotePath(entry.path);
    }
  };
  await forEachItem(context, targets(), async (path) => {
    await fileSystem.setAttributes(path.bytes, changes, { signal });
    if (output.options.json) {
      await output.json("ashlar.set-attributes/1", jsonName("path", path.bytes));
    }
  });
}
