import { defaultClusterDirectory } from "./cluster-address.ts";
import type { CommandContext, OptionValues } from "./command.ts";

/** --dir, else the directory that --cluster or ASHLAR_CLUSTER names, else .ashlar here. */
export async function clusterDirectory(
  context: CommandContext,
  options: OptionValues,
): Promise<string> {
  const named = options["dir"] as string | undefined;
  return named ?? (await context.clusterDirectory()) ?? defaultClusterDirectory();
}
