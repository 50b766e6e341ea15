import type { RunCommand } from "../command.ts";
import { forEachItem } from "../each-item.ts";
import { readOptionsOf } from "../read-options.ts";
import { expandPaths } from "../remote-paths.ts";

export const run: RunCommand = async (context, commandArguments, options) => {
  const { output } = context;
  const fileSystem = await context.fileSystem();
  const start = (options["offset"] as number | undefined) ?? 0;
  const length = options["length"] as number | undefined;
  const range = length === undefined ? { start } : { start, end: start + length };
  const readOptions = await readOptionsOf(context, options);
  const glob = options["glob"] !== false;
  const paths = expandPaths(context, commandArguments, { glob, readOptions });
  await forEachItem(context, paths, async (path) => {
    for await (const slab of fileSystem.readSlabs(path.bytes, { ...range, ...readOptions })) {
      try {
        await output.bytes(slab.bytes);
      } finally {
        slab.release();
      }
    }
  });
};
