import { AshlarError } from "../../../shared/base/errors.ts";
import { pathErrorMessage } from "../../../shared/base/path-errors.ts";
import type { CommandContext, OptionValues, RunCommand } from "../command.ts";
import { forEachItemParallel } from "../each-item.ts";
import { PendingTasks } from "../local/pending-tasks.ts";
import { removeLeftover } from "../local/temporary-files.ts";
import { nameFilter } from "../name-filter.ts";
import { parallelismOf } from "../parallelism.ts";
import { invalidOptions } from "../parse-values.ts";
import type { RemotePath } from "../remote-paths.ts";
import { replaceRuleOf } from "../replace-flags.ts";
import { ClusterTree } from "../sync/cluster-tree.ts";
import { LocalTree } from "../sync/local-tree.ts";
import type { SyncJob } from "../sync/sync-job.ts";
import type { SyncOptions } from "../sync/sync-options.ts";
import { copyPair, downloadPair, type SyncPair, uploadPair } from "../sync/sync-pair.ts";
import { SyncReport } from "../sync/sync-report.ts";
import { type SyncSides, syncSides } from "../sync/sync-sides.ts";
import { TreeSync } from "../sync/tree-sync.ts";
import { TransferDifferences } from "../transfer-differences.ts";

export const run: RunCommand = async (context, commandArguments, values) => {
  const [sourceText = "", targetText = ""] = commandArguments;
  const sides = syncSides(context.env, [sourceText, targetText]);
  const options = syncOptions(context, values);
  const differences = new TransferDifferences();
  const pair = await pairOf(context, sides, { options, differences });
  const source = await pair.source.root();
  if (source === null) {
    const text = pair.source.textOf(new Uint8Array(0));
    throw new AshlarError("NOT_FOUND", pathErrorMessage("NOT_FOUND", text));
  }
  const report = new SyncReport(context, pair.target, {
    ...options,
    differences,
  });
  const job: SyncJob = { context, pair, options, report, pending: new PendingTasks() };
  const parallelism = parallelismOf(values, options.rule);
  try {
    await forEachItemParallel(context, new TreeSync(job).steps(source), {
      weightMax: parallelism.weightMax,
      weightOf: (step) => parallelism.weightOf(step.sizeBytes ?? 0),
      task: (step) => job.pending.run(() => report.counted(step)),
    });
  } finally {
    await report.end();
  }
};

/** @throws {AshlarError} INVALID_ARGUMENT if the options cannot be used together */
function syncOptions({ env }: CommandContext, values: OptionValues): SyncOptions {
  const rule = replaceRuleOf(values);
  const isDeleting = values["delete"] === true;
  const isDryRun = values["dryRun"] === true;
  const isConfirmed = values["yes"] === true;
  if (isDeleting && rule === "skip") {
    throw invalidOptions("one of --delete and --no-clobber", "both of them");
  }
  // Not at the first deletion: by then, a sync has changed other files.
  if (isDeleting && !isDryRun && !isConfirmed && env.stdin.isTTY !== true) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      "Cannot ask before files are deleted: standard input is not a terminal",
      { hint: "--delete --yes deletes without a question" },
    );
  }
  return {
    rule,
    isChecksum: values["checksum"] === true,
    isPreserved: values["preserve"] === true,
    isDryRun,
    isDeleting,
    isConfirmed,
    filter: nameFilter(values),
    isFiltered: values["include"] !== undefined || values["exclude"] !== undefined,
  };
}

async function pairOf(
  context: CommandContext,
  { source, target }: SyncSides,
  {
    options,
    differences,
  }: { readonly options: SyncOptions; readonly differences: TransferDifferences },
): Promise<SyncPair> {
  const fileSystem = await context.fileSystem();
  const inCluster = (path: RemotePath): ClusterTree =>
    new ClusterTree(fileSystem, path, context.signal);
  if (source.place === "local") {
    const onTemporary = ({ text }: { readonly text: string }): Promise<void> =>
      Promise.resolve(differences.add("temporary", text));
    const trees = {
      source: new LocalTree(source.path, onTemporary),
      target: inCluster(target.path),
    };
    return uploadPair(context, fileSystem, trees);
  }
  if (target.place === "cluster") {
    return copyPair(context, fileSystem, {
      source: inCluster(source.path),
      target: inCluster(target.path),
    });
  }
  // A sync that was killed has left it.
  const tree = new LocalTree(target.path, options.isDryRun ? async () => {} : removeLeftover);
  return downloadPair(context, fileSystem, { source: inCluster(source.path), target: tree });
}
