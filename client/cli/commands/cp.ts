import { AshlarError } from "../../../shared/base/errors.ts";
import { isWithin, parsePath } from "../../../shared/base/path.ts";
import { pathErrorMessage } from "../../../shared/base/path-errors.ts";
import { jsonName } from "../../../shared/display/format.ts";
import { shellWord } from "../../../shared/display/shell-word.ts";
import type { FileSystem } from "../../file-system.ts";
import type { WalkEntry } from "../../results.ts";
import type { CommandContext, OptionValues, RunCommand } from "../command.ts";
import { forEachItem } from "../each-item.ts";
import { childPath, type RemotePath, remotePath } from "../remote-paths.ts";
import { type ReplaceRule, replaceRuleOf } from "../replace-flags.ts";
import { TargetClaims } from "../target-claims.ts";
import { remoteTransfers, requireOtherTarget, splitTarget } from "../transfer-targets.ts";
import { writeByRule } from "../write-by-rule.ts";

/** Context of all copies of one command. */
interface CopyJob {
  readonly context: CommandContext;
  readonly fileSystem: FileSystem;
  readonly options: OptionValues;
  readonly rule: ReplaceRule;
  readonly claims: TargetClaims;
}

interface Copy {
  readonly source: RemotePath;
  readonly target: RemotePath;
}

export const run: RunCommand = async (context, commandArguments, options) => {
  const rule = replaceRuleOf(options);
  const claims = new TargetClaims(splitTarget(commandArguments).sources);
  const transfers = remoteTransfers(context, commandArguments, { glob: options["glob"] !== false });
  const fileSystem = await context.fileSystem();
  const job: CopyJob = { context, fileSystem, options, rule, claims };
  await forEachItem(context, transfers, async (transfer) => {
    if (transfer.kind === "failed") throw transfer.error;
    const { source, target } = transfer;
    requireOtherTarget(source, target);
    const attributes = await fileSystem.stat(source.bytes, { signal: context.signal });
    if (attributes.kind === "file") await copyFile(job, { source, target });
    else await copyTree(job, { source, target });
  });
};

async function copyFile(job: CopyJob, { source, target }: Copy): Promise<void> {
  const { context, fileSystem, options, rule } = job;
  const { output, signal } = context;
  await job.claims.during({ target: target.bytes, source: source.bytes }, async () => {
    const copied = await writeByRule(context, {
      rule,
      target: target.text,
      write: (replace) =>
        fileSystem.copy(source.bytes, target.bytes, {
          replace,
          preserve: options["preserve"] === true,
          signal,
        }),
    });
    if (copied === null) return false;
    output.detail(`${source.text} -> ${target.text}`);
    if (output.options.json) {
      const names = { ...jsonName("from", source.bytes), ...jsonName("to", target.bytes) };
      await output.json("ashlar.cp/1", names);
    }
    return true;
  });
}

/**
 * Copies a tree into the directory `target`, which is made or merged with what exists. Each file is
 * copied by reference in one log entry. Entries below a directory that cannot be made are skipped.
 */
async function copyTree(job: CopyJob, { source, target }: Copy): Promise<void> {
  const { context, fileSystem } = job;
  const { signal } = context;
  if (job.options["recursive"] !== true) {
    throw new AshlarError("IS_A_DIRECTORY", pathErrorMessage("IS_A_DIRECTORY", source.text), {
      hint: `ashlar cp -r ${shellWord(source.bytes)} ${shellWord(target.bytes)}`,
    });
  }
  if (isWithin(parsePath(target.bytes), parsePath(source.bytes))) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot copy ${source.text}: expected a target outside the directory: current value is ${target.text}`,
    );
  }
  await copyDirectory(job, { source, target });
  const prefixLength = source.bytes.length === 1 ? 1 : source.bytes.length + 1;
  let skipped: RemotePath | null = null;
  const entries = async function* (): AsyncGenerator<WalkEntry> {
    for await (const entry of fileSystem.walk(source.bytes, { signal })) {
      if (skipped === null || !isBelow(entry.path, skipped.bytes)) yield entry;
    }
  };
  await forEachItem(context, entries(), async (entry) => {
    const below = entry.path.subarray(prefixLength);
    const copy: Copy = {
      source: remotePath(entry.path),
      target: remotePath(childPath(target.bytes, below)),
    };
    if (entry.attributes.kind === "file") return copyFile(job, copy);
    try {
      await copyDirectory(job, copy, entry.attributes.mode);
    } catch (error) {
      skipped = copy.source;
      throw error;
    }
  });
}

async function copyDirectory(job: CopyJob, { source, target }: Copy, mode?: number): Promise<void> {
  job.claims.share(target.bytes, source.bytes);
  await job.fileSystem.mkdir(target.bytes, {
    parents: true,
    ...(mode === undefined ? {} : { mode }),
    signal: job.context.signal,
  });
}

/** Returns whether a path is below a directory. */
function isBelow(path: Uint8Array, directory: Uint8Array): boolean {
  return (
    path[directory.length] === 0x2f &&
    Buffer.compare(path.subarray(0, directory.length), directory) === 0
  );
}
