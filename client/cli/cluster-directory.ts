import { resolve } from "node:path";
import { systemPathOf } from "./cli-env.ts";
import type { CommandContext, OptionValues } from "./command.ts";

/**
 * Returns the directory of the local cluster that a `cluster` command works on: --dir, else the
 * directory in the setting `cluster`, else .ashlar in the working directory.
 */
export async function clusterDirectory(
  context: Pick<CommandContext, "env" | "clusterDirectory">,
  options: OptionValues,
): Promise<string> {
  const { env } = context;
  const named = (options["dir"] as string | undefined) ?? (await context.clusterDirectory());
  return named === null ? resolve(env.workingDirectory, ".ashlar") : systemPathOf(env, named);
}
