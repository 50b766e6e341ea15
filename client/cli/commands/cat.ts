import type { RunCommand } from "../command.ts";
import { forEachPath } from "../patterns/expand-paths.ts";
import { readOptionsOf } from "../read-options.ts";

export const run: RunCommand = async (context, commandArguments, options) => {
  const { output } = context;
  const fileSystem = await context.fileSystem();
  const start = (options["offset"] as number | undefined) ?? 0;
  const length = options["length"] as number | undefined;
  const range = length === undefined ? { start } : { start, end: start + length };
  const readOptions = await readOptionsOf(context, options);
  const glob = options["glob"] !== false;
  await forEachPath(context, commandArguments, {
    glob,
    readOptions,
    task: async (path) => {
      for await (const slab of fileSystem.readSlabs(path.bytes, { ...range, ...readOptions })) {
        try {
          await output.bytes(slab.bytes);
        } finally {
          slab.release();
        }
      }
    },
  });
};
