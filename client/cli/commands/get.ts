import type { Stats } from "node:fs";
import { stat } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { AshlarError } from "../../../shared/base/errors.ts";
import { pathErrorMessage } from "../../../shared/base/path-errors.ts";
import { formatCount, jsonName } from "../../../shared/display/format.ts";
import { shellWord } from "../../../shared/display/shell-word.ts";
import type { FileAttributes } from "../../../shared/protocol/attributes.ts";
import type { ReadOptions } from "../../options.ts";
import type { Slab } from "../../results.ts";
import { parseByteRange } from "../byte-range.ts";
import type { CommandContext, OptionValues, RunCommand } from "../command.ts";
import { confirm } from "../confirm.ts";
import { defaultParallel, forEachItemParallel } from "../each-item.ts";
import { makeLocalDirectory } from "../local/local-directory.ts";
import { hasSameContent } from "../local/same-content.ts";
import { writeLocal } from "../local/write-local.ts";
import { localError } from "../local-files.ts";
import { LocalPath } from "../local-path.ts";
import { type NameFilter, nameFilter } from "../name-filter.ts";
import { readOptionsOf } from "../read-options.ts";
import { baseName, hasTrailingSlash, type RemotePath, remotePath } from "../remote-paths.ts";
import { REPLACE_HINT, type ReplaceRule, replaceRuleOf } from "../replace-flags.ts";
import { TargetClaims } from "../target-claims.ts";
import { TransferReport } from "../transfer-report.ts";
import { planSources, splitTarget } from "../transfer-targets.ts";

/** One file to get. */
interface Download {
  readonly kind: "file";
  readonly source: RemotePath;
  readonly attributes: FileAttributes;
  /** Local path; null for standard output. */
  readonly target: LocalPath | null;
}

/** A source that cannot be read. */
interface FailedDownload {
  readonly kind: "failed";
  readonly error: unknown;
}

/** Context of all downloads of one command. */
interface GetJob {
  readonly context: CommandContext;
  readonly options: OptionValues;
  readonly report: TransferReport;
  readonly filter: NameFilter;
  readonly rule: ReplaceRule;
  readonly claims: TargetClaims;
  /** With --at: the index at which all files are read. */
  readonly readOptions: ReadOptions;
}

export const run: RunCommand = async (context, commandArguments, options) => {
  const { sources, target } = splitTarget(commandArguments);
  const filter = nameFilter(options);
  const rule = replaceRuleOf(options);
  const claims = new TargetClaims(sources);
  const readOptions = await readOptionsOf(context, options);
  const report = new TransferReport(context, "got");
  const job: GetJob = { context, options, report, filter, rule, claims, readOptions };
  const parallel =
    target === "-" || rule === "ask"
      ? 1
      : ((options["parallel"] as number | undefined) ?? defaultParallel(availableParallelism()));
  try {
    await forEachItemParallel(context, downloads(job, sources, target), {
      parallel,
      task: (download) => getOne(job, download),
    });
  } finally {
    report.end();
  }
};

async function* downloads(
  job: GetJob,
  sources: readonly string[],
  targetText: string,
): AsyncGenerator<Download | FailedDownload> {
  const { context, options, readOptions } = job;
  const target = targetText === "-" ? null : LocalPath.parse(context.env, targetText);
  const isDirectory = target !== null && (await isTargetDirectory(target, targetText));
  const planned = planSources(context, sources, {
    glob: options["glob"] !== false,
    readOptions,
    requireDirectory: () => {
      if (target !== null && !isDirectory) throw notDirectory(target);
    },
  });
  for await (const each of planned) {
    try {
      if (each.kind === "failed") throw each.error;
      const isEntry = target !== null && isDirectory && !each.isContents;
      const ownTarget = isEntry
        ? target.withoutSlashes().join(baseName(each.source.bytes))
        : target;
      yield* downloadsOf(job, each.source, ownTarget);
    } catch (error) {
      if (context.signal.aborted) throw error;
      yield { kind: "failed", error };
    }
  }
}

async function* downloadsOf(
  job: GetJob,
  source: RemotePath,
  target: LocalPath | null,
): AsyncGenerator<Download> {
  const { context, options, readOptions } = job;
  const fileSystem = await context.fileSystem();
  const attributes = await fileSystem.stat(source.bytes, readOptions);
  if (attributes.kind === "file") {
    yield { kind: "file", source, attributes, target };
    return;
  }
  if (options["recursive"] !== true || target === null) {
    throw new AshlarError("IS_A_DIRECTORY", pathErrorMessage("IS_A_DIRECTORY", source.text), {
      hint: `ashlar get -r ${shellWord(source.bytes)} DIRECTORY`,
    });
  }
  const isDry = options["dryRun"] === true;
  if (!isDry) await makeLocalDirectory(target, 0o777);
  const prefixLength = source.bytes.length === 1 ? 1 : source.bytes.length + 1;
  for await (const entry of fileSystem.walk(source.bytes, readOptions)) {
    const relative = entry.path.subarray(prefixLength);
    const below = target.withoutSlashes().join(relative);
    if (entry.attributes.kind === "directory") {
      if (!isDry) await makeLocalDirectory(below, 0o777);
    } else if (job.filter(relative)) {
      const { attributes: found } = entry;
      yield { kind: "file", source: remotePath(entry.path), attributes: found, target: below };
    }
  }
}

/**
 * Returns whether the local target is a directory, which receives the sources as entries.
 *
 * @throws {AshlarError} NOT_A_DIRECTORY if `text` ends with a slash and there is no directory
 */
async function isTargetDirectory(target: LocalPath, text: string): Promise<boolean> {
  const found = await statOrNull(target);
  if (found?.isDirectory() === true) return true;
  if (hasTrailingSlash(text)) throw notDirectory(target);
  return false;
}

async function statOrNull(path: LocalPath): Promise<Stats | null> {
  try {
    return await stat(path.systemPath);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw localError(error, "read", path);
  }
}

function notDirectory(target: LocalPath): AshlarError {
  const { text } = target;
  return new AshlarError(
    "NOT_A_DIRECTORY",
    `Cannot write into the local path ${text}: not a directory`,
    { hint: `mkdir -p -- ${shellWord(target.bytes)}` },
  );
}

async function getOne(job: GetJob, download: Download | FailedDownload): Promise<void> {
  if (download.kind === "failed") throw download.error;
  const { source, target } = download;
  if (target === null) return printOne(job, download);
  await job.claims.during({ target: target.bytes, source: source.bytes }, () =>
    writeOne(job, download, target),
  );
}

/** Writes a file to standard output. */
async function printOne(job: GetJob, { source, attributes }: Download): Promise<void> {
  const { context, report } = job;
  const slabs = await slabsOf(job, source, attributes);
  const progress = report.begin(attributes.sizeBytes);
  let doneBytes = 0;
  for await (const slab of slabs) {
    try {
      await context.output.bytes(slab.bytes);
      doneBytes += slab.bytes.length;
      progress(doneBytes);
    } finally {
      slab.release();
    }
  }
  report.finishedFile();
}

async function slabsOf(
  { context, options, readOptions }: GetJob,
  source: RemotePath,
  { sizeBytes }: FileAttributes,
): Promise<AsyncIterable<Slab>> {
  const text = options["range"];
  const range = text === undefined ? {} : parseByteRange(String(text), sizeBytes);
  const fileSystem = await context.fileSystem();
  return fileSystem.readSlabs(source.bytes, { ...range, ...readOptions });
}

/** Writes a file to its target. @returns false if the target is a file from before the command */
async function writeOne(
  job: GetJob,
  { source, attributes }: Download,
  target: LocalPath,
): Promise<boolean> {
  const { context, options, report } = job;
  if (options["dryRun"] === true) {
    await reportDryRun(context, source, target);
    return true;
  }
  const found = await existingFile(target);
  if (found && options["resume"] === true && (await hasSameContent(target, attributes, context.signal))) {
    report.skipped();
    return true;
  }
  if (found && options["resume"] !== true && !(await mayReplace(job, target))) {
    report.skipped();
    return false;
  }
  const slabs = await slabsOf(job, source, attributes);
  const isPreserved = options["preserve"] === true;
  const { mode, uid, gid, mtimeMs } = attributes;
  const { umask } = context.env;
  await writeLocal(target, slabs, {
    signal: context.signal,
    onProgress: report.begin(attributes.sizeBytes),
    replace: options["force"] === true || options["resume"] === true,
    preserve: isPreserved,
    attributes: isPreserved
      ? { mode, owner: { uid, gid }, mtimeMs }
      : { mode: mode & 0o777 & ~umask, owner: null, mtimeMs: null },
  });
  report.finishedFile();
  context.output.detail(`got ${source.text}: ${formatCount(attributes.sizeBytes, "byte")}`);
  if (context.output.options.json) {
    await context.output.json("ashlar.get/1", {
      ...jsonName("path", source.bytes),
      ...jsonName("target", target.bytes),
      size_bytes: attributes.sizeBytes,
    });
  }
  return true;
}

/** Returns whether a write would replace something. A device or a pipe is written to directly. */
async function existingFile(target: LocalPath): Promise<boolean> {
  const found = await statOrNull(target);
  return found !== null && (found.isFile() || found.isDirectory());
}

/** Returns whether an existing file is replaced; false: it is skipped. @throws ALREADY_EXISTS */
async function mayReplace({ context, rule }: GetJob, target: LocalPath): Promise<boolean> {
  switch (rule) {
    case "replace":
      return true;
    case "skip":
      return false;
    case "ask":
      return confirm(context, `Replace ${target.text}?`, REPLACE_HINT);
    default:
      throw new AshlarError(
        "ALREADY_EXISTS",
        `Cannot write the local path ${target.text}: file exists`,
        { hint: `${REPLACE_HINT}; --resume skips it if it has the same content` },
      );
  }
}

async function reportDryRun(
  { output }: CommandContext,
  source: RemotePath,
  target: LocalPath,
): Promise<void> {
  if (!output.options.json) {
    return output.line(`would get ${source.text} to ${target.text}`);
  }
  await output.json("ashlar.get/1", {
    ...jsonName("path", source.bytes),
    ...jsonName("target", target.bytes),
    is_dry_run: true,
  });
}
