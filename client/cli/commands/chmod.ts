import { changeAttributes } from "../change-attributes.ts";
import type { RunCommand } from "../command.ts";
import { parseMode } from "../parse-values.ts";

export const run: RunCommand = async (context, commandArguments, options) => {
  const [modeText = "", ...paths] = commandArguments;
  await changeAttributes(context, paths, { mode: parseMode(modeText, "the mode") }, options);
};
