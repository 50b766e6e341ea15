import { type AshlarError, isAshlarError } from "../../../shared/base/errors.ts";
import { LocalCluster } from "../cluster/local-cluster.ts";
import type { AddFailure } from "../cluster/undo-add.ts";
import { clusterDirectory } from "../cluster-directory.ts";
import type { RunCommand } from "../command.ts";
import type { Output } from "../output.ts";

function noteOutcome(output: Output, { details, hint }: AshlarError): void {
  const { outcome } = details as Partial<AddFailure>;
  if (outcome !== undefined)
    output.note(hint === undefined ? outcome : `${outcome}; to continue: ${hint}`);
}

export const run: RunCommand = async (context, commandArguments, options) => {
  const { output, signal } = context;
  const role = commandArguments[0] as "master" | "chunkserver";
  const cluster = await LocalCluster.open(await clusterDirectory(context, options));
  const added = context.waits.during(`the new ${role}`, (wait) =>
    cluster.add(role, {
      basePort: Number(options["basePort"]),
      timeoutMs: Number(options["wait"]),
      signal,
      onWait: wait.because,
    }),
  );
  const node = await added.catch((error: unknown) => {
    // The report of a stopped command says only that it was stopped.
    if (signal.aborted && isAshlarError(error)) noteOutcome(output, error);
    throw error;
  });
  if (output.options.json) {
    await output.json("ashlar.cluster-add/1", { node: node.name, address: node.address });
  } else output.note(`${node.name} is serving at ${node.address}`);
};
