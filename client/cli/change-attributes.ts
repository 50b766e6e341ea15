import { isAshlarError } from "../../shared/base/errors.ts";
import { jsonName } from "../../shared/display/format.ts";
import type { AttributeChanges } from "../options.ts";
import type { CommandContext, OptionValues } from "./command.ts";
import { forEachItem } from "./each-item.ts";
import { type ExpandedPath, expandPaths } from "./patterns/expand-paths.ts";
import { type RemotePath, remotePath } from "./remote-paths.ts";

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
  const targets = async function* (): AsyncGenerator<ExpandedPath> {
    for await (const found of paths) {
      yield found;
      if (options["recursive"] !== true || found.kind === "failed") continue;
      yield* entriesBelow(context, found.path);
    }
  };
  await forEachItem(context, targets(), async (target) => {
    if (target.kind === "failed") throw target.error;
    const { path } = target;
    await fileSystem.setAttributes(path.bytes, changes, { signal });
    if (output.options.json) {
      await output.json("ashlar.set-attributes/1", jsonName("path", path.bytes));
    }
  });
}

/** Yields every entry below a path, and the failure of the walk. */
async function* entriesBelow(
  context: CommandContext,
  path: RemotePath,
): AsyncGenerator<ExpandedPath> {
  const { signal } = context;
  const fileSystem = await context.fileSystem();
  try {
    for await (const entry of fileSystem.walk(path.bytes, { signal })) {
      yield { kind: "path", path: remotePath(entry.pathBytes) };
    }
  } catch (error) {
    if (signal.aborted) throw error;
    if (isAshlarError(error, "NOT_FOUND")) return; // The path has its own failure.
    yield { kind: "failed", error };
  }
}
