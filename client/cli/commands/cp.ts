import { AshlarError } from "../../../shared/base/errors.ts";
import { isWithin, parsePath } from "../../../shared/base/path.ts";
import { pathErrorMessage } from "../../../shared/base/path-errors.ts";
import { jsonName } from "../../../shared/display/format.ts";
import { shellWord } from "../../../shared/display/shell-word.ts";
import type { Attributes } from "../../../shared/protocol/attributes.ts";
import type { FileSystem } from "../../file-system.ts";
import type { WalkEntry } from "../../results.ts";
import type { CommandContext, OptionValues, RunCommand } from "../command.ts";
import { forEachItem } from "../each-item.ts";
import { withParentHint } from "../parent-hint.ts";
import { childPath, isBelow, type RemotePath, remotePath } from "../remote-paths.ts";
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
  const claims = new TargetClaims(splitTarget(commandArguments, "cp").sources);
  const transfers = remoteTransfers(context, commandArguments, {
    command: "cp",
    glob: options["glob"] !== false,
    isTargetName: options["targetDirectory"] === false,
  });
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
        withParentHint(context, target.bytes, () =>
          fileSystem.copy(source.bytes, target.bytes, {
            replace,
            preserve: options["preserve"] === true,
            signal,
          }),
        ),
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
  const preserved = new PreservedDirectories(job);
  const root = await fileSystem.stat(source.bytes, { signal });
  await copyDirectory(job, { source, target }, root);
  await preserved.enter(0, target, root);
  const prefixLength = source.bytes.length === 1 ? 1 : source.bytes.length + 1;
  let skipped: RemotePath | null = null;
  const entries = async function* (): AsyncGenerator<WalkEntry> {
    for await (const entry of fileSystem.walk(source.bytes, { signal })) {
      if (skipped === null || !isBelow(entry.pathBytes, skipped.bytes)) yield entry;
    }
    await preserved.leaveDownTo(0);
  };
  await forEachItem(context, entries(), async ({ pathBytes, attributes, depth }) => {
    const below = pathBytes.subarray(prefixLength);
    const copy: Copy = {
      source: remotePath(pathBytes),
      target: remotePath(childPath(target.bytes, below)),
    };
    if (attributes.kind === "file") {
      await preserved.leaveDownTo(depth);
      return copyFile(job, copy);
    }
    try {
      await copyDirectory(job, copy, attributes);
    } catch (error) {
      skipped = copy.source;
      throw error;
    }
    await preserved.enter(depth, copy.target, attributes);
  });
}

async function copyDirectory(
  job: CopyJob,
  { source, target }: Copy,
  { mode }: Attributes,
): Promise<void> {
  job.claims.share(target.bytes, source.bytes);
  const { signal } = job.context;
  await job.fileSystem.mkdir(target.bytes, { parents: true, mode, signal });
}

/**
 * With --preserve: gives each directory the attributes of its source after its last entry was
 * copied, because each copy changes its time. The walk is depth-first, so the memory is bounded by
 * the depth.
 */
class PreservedDirectories {
  readonly #job: CopyJob;
  readonly #open: Array<{ depth: number; target: RemotePath; attributes: Attributes }> = [];

  constructor(job: CopyJob) {
    this.#job = job;
  }

  /** Begins a directory at `depth`: all directories of at least this depth have their last entry. */
  async enter(depth: number, target: RemotePath, attributes: Attributes): Promise<void> {
    await this.leaveDownTo(depth);
    if (this.#job.options["preserve"] === true) this.#open.push({ depth, target, attributes });
  }

  /** Ends the directories of at least this depth. */
  async leaveDownTo(depth: number): Promise<void> {
    const { fileSystem, context } = this.#job;
    for (let last = this.#open.at(-1); last !== undefined; last = this.#open.at(-1)) {
      if (last.depth < depth) return;
      this.#open.pop();
      const { mode, uid, gid, mtimeMs, atimeMs } = last.attributes;
      const changes = { mode, uid, gid, mtimeMs, atimeMs };
      await fileSystem.setAttributes(last.target.bytes, changes, { signal: context.signal });
    }
  }
}
