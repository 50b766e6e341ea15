import type { RunCommand } from "../command.ts";
import { parseCount } from "../parse-values.ts";

export const run: RunCommand = async (context, commandArguments) => {
  const { output, signal } = context;
  const [text] = commandArguments;
  const to = text === undefined ? null : parseCount(text, "the number of a master", 1);
  const fileSystem = await context.fileSystem();
  const leader = await fileSystem.masters.transfer(to, { signal });
  if (output.options.json) await output.json("ashlar.master-transfer/1", { leader });
  else output.note(`master ${leader} is the leader`);
};
