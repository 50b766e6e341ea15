import { join } from "node:path";
import type { CommandContext, OptionValues } from "./command.ts";

/**
 * Returns the directory of the local cluster that a `cluster` command works on: --dir, else the
 * directory in the setting `cluster`, else .ashlar in the working directory.
 */
export async function clusterDirectory(
  context: CommandContext,
  options: OptionValues,
): Promise<string> {
  const named = options["dir"] as string | undefined;
  return named ?? (await context.clusterDirectory()) ?? join(process.cwd(), ".ashlar");
}
