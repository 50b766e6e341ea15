import type { RunCommand } from "../command.ts";
import { parseCount } from "../parse-values.ts";

export const run: RunCommand = async (context, commandArguments) => {
  const { output, signal } = context;
  const removed = commandArguments.map((text) => parseCount(text, "the number of a master", 1));
  const fileSystem = await context.fileSystem();
  await fileSystem.masters.remove(removed, { signal });
  if (output.options.json) await output.json("ashlar.master-remove/1", { removed });
  else output.note(`removed ${removed.join(", ")}; stop their processes now`);
};
