import { setTimeout as sleep } from "node:timers/promises";
import { AshlarError } from "../../../shared/base/errors.ts";
import { Closers } from "../../../shared/flow/closers.ts";
import { nodePaths } from "../cluster/layout.ts";
import { LocalCluster } from "../cluster/local-cluster.ts";
import { NodeLog } from "../cluster/node-log.ts";
import { clusterDirectory } from "../cluster-directory.ts";
import type { CommandContext, RunCommand } from "../command.ts";
import { Stopped } from "../exit-status.ts";

const FOLLOW_POLL_MS = 200;

/** A log that is printed. */
interface PrintedLog {
  readonly log: NodeLog;
  /** Text before each of its lines. */
  readonly prefix: string;
}

export const run: RunCommand = async (context, commandArguments, options) => {
  const { output } = context;
  const cluster = await LocalCluster.open(await clusterDirectory(context, options));
  const nodes =
    commandArguments.length === 0
      ? cluster.nodes
      : await Promise.all(commandArguments.map((name) => cluster.find(name)));
  const isFollowed = options["follow"] === true;
  await using opened = new Closers();
  const logs: PrintedLog[] = [];
  for (const { name } of nodes) {
    const path = nodePaths(cluster.directory, name).log;
    const log = await NodeLog.open(path);
    if (log !== null) {
      logs.push({ log: opened.use(log), prefix: nodes.length === 1 ? "" : `${name}: ` });
    } else if (isFollowed) throw noLog(path);
  }
  for (const printed of logs) {
    await printed.log.seekLastLines(Number(options["lines"]));
    await printLines(context, printed);
    const rest = isFollowed ? null : printed.log.rest();
    if (rest !== null) await output.line(printed.prefix + rest);
  }
  if (isFollowed) await follow(context, logs);
};

/** Prints what is added to the logs until the command is stopped. */
async function follow(context: CommandContext, logs: readonly PrintedLog[]): Promise<never> {
  const { signal } = context;
  while (!signal.aborted) {
    for (const printed of logs) await printLines(context, printed);
    await sleep(FOLLOW_POLL_MS, undefined, { signal }).catch(() => {});
  }
  throw new Stopped();
}

/** Prints the lines that were added to a log. */
async function printLines({ output }: CommandContext, { log, prefix }: PrintedLog): Promise<void> {
  for await (const line of log.lines()) await output.line(prefix + line);
}

function noLog(path: string): AshlarError {
  return new AshlarError("NOT_FOUND", `Cannot follow ${path}: no such file`);
}
