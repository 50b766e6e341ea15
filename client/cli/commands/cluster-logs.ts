import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { nodePaths } from "../cluster/layout.ts";
import { LocalCluster } from "../cluster/local-cluster.ts";
import { logTail } from "../cluster/node-process.ts";
import { clusterDirectory } from "../cluster-directory.ts";
import type { CommandContext, RunCommand } from "../command.ts";

const FOLLOW_POLL_MS = 200;

export const run: RunCommand = async (context, commandArguments, options) => {
  const cluster = await LocalCluster.open(await clusterDirectory(context, options));
  const nodes =
    commandArguments.length === 0
      ? cluster.nodes
      : await Promise.all(commandArguments.map((name) => cluster.find(name)));
  const prefix = (name: string): string => (nodes.length === 1 ? "" : `${name}: `);
  for (const node of nodes) {
    const lines = await logTail(cluster.directory, node, Number(options["lines"]));
    for (const line of lines) await context.output.line(prefix(node.name) + line);
  }
  if (options["follow"] !== true) return;
  const failed = new AbortController();
  const signal = AbortSignal.any([context.signal, failed.signal]);
  try {
    await Promise.all(
      nodes.map(({ name }) => {
        const path = nodePaths(cluster.directory, name).log;
        return printNewLines({ ...context, signal }, path, prefix(name));
      }),
    );
  } finally {
    failed.abort(); // The command fails if it cannot follow one log. The abort stops the other logs.
  }
};

/** Prints lines that are added to the file until the command is stopped. */
async function printNewLines(
  context: Pick<CommandContext, "output" | "signal">,
  path: string,
  prefix: string,
): Promise<void> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    let position = (await file.stat()).size;
    let partialLine = "";
    const buffer = Buffer.alloc(64 * 1024);
    while (!context.signal.aborted) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
      position += bytesRead;
      const lines = (partialLine + buffer.toString("utf8", 0, bytesRead)).split("\n");
      partialLine = lines.pop() ?? "";
      for (const line of lines) await context.output.line(prefix + line);
      if (bytesRead === 0) await sleep(FOLLOW_POLL_MS);
    }
  } finally {
    await file.close();
  }
}
