import type { Stats } from "node:fs";
import { stat } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { AshlarError } from "../../../shared/base/errors.ts";
import { pathErrorMessage } from "../../../shared/base/path-errors.ts";
import { formatCount, jsonName } from "../../../shared/display/format.ts";
import type { FileAttributes } from "../../../shared/protocol/attributes.ts";
import type { ReadOptions } from "../../options.ts";
import { parseByteRange } from "../byte-range.ts";
import type { CommandContext, OptionValues, RunCommand } from "../command.ts";
import { defaultParallel, forEachItemParallel } from "../each-item.ts";
import { hasSameContent } from "../local-content.ts";
import { localError } from "../local-files.ts";
import { LocalPath } from "../local-path.ts";
import { makeLocalDirectory, writeLocal } from "../local-write.ts";
import { type NameFilter, nameFilter } from "../name-filter.ts";
import { readOptionsOf } from "../read-options.ts";
import {
  baseName,
  expandPaths,
  hasTrailingSlash,
  type RemotePath,
  remotePath,
} from "../remote-paths.ts";
import { TransferReport } from "../transfer-report.ts";
import { splitTarget } from "../transfer-targets.ts";

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
  /** With --at: the index at which all files are read. */
  readonly readOptions: ReadOptions;
}

export const run: RunCommand = async (context, commandArguments, options) => {
  const { sources, target } = splitTarget(commandArguments);
  const filter = nameFilter(options);
  const readOptions = await readOptionsOf(context, options);
  const report = new TransferReport(context, "got");
  const job: GetJob = { context, options, report, filter, readOptions };
  const parallel =
    target === "-"
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
  const { context } = job;
  const target = targetText === "-" ? null : LocalPath.parse(context.env, targetText);
  const isDirectory = target !== null && (await isTargetDirectory(target, targetText));
  let sourceCount = 0;
  for await (const { source, isContents } of namedSources(job, sources)) {
    sourceCount += 1;
    if (target !== null && sourceCount > 1 && !isDirectory) throw notDirectory(target);
    const ownTarget =
      target !== null && isDirectory && !isContents
        ? target.withoutSlashes().join(baseName(source.bytes))
        : target;
    try {
      yield* downloadsOf(job, source, ownTarget);
    } catch (error) {
      if (context.signal.aborted) throw error;
      yield { kind: "failed", error };
    }
  }
}

/**
 * Yields the paths of the sources. A source that ends with "/." means the entries of a directory,
 * as in cp(1).
 */
async function* namedSources(
  { context, options, readOptions }: GetJob,
  sources: readonly string[],
): AsyncGenerator<{ readonly source: RemotePath; readonly isContents: boolean }> {
  const glob = options["glob"] !== false;
  for (const named of sources) {
    const isContents = named.endsWith("/.");
    for await (const source of expandPaths(context, [named], { glob, readOptions })) {
      yield { source, isContents };
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
      hint: `ashlar get -r ${source.text} DIRECTORY`,
    });
  }
  const isDry = options["dryRun"] === true;
  if (!isDry) await makeLocalDirectory(target);
  const prefixLength = source.bytes.length === 1 ? 1 : source.bytes.length + 1;
  for await (const entry of fileSystem.walk(source.bytes, readOptions)) {
    const relative = entry.path.subarray(prefixLength);
    const below = target.withoutSlashes().join(relative);
    if (entry.attributes.kind === "directory") {
      if (!isDry) await makeLocalDirectory(below);
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
    { hint: `mkdir -p ${text}` },
  );
}

async function getOne(job: GetJob, download: Download | FailedDownload): Promise<void> {
  if (download.kind === "failed") throw download.error;
  const { context, options, report, readOptions } = job;
  const { source, attributes, target } = download;
  const range =
    options["range"] === undefined
      ? {}
      : parseByteRange(String(options["range"]), attributes.sizeBytes);
  const fileSystem = await context.fileSystem();
  if (target === null) {
    const progress = report.begin(attributes.sizeBytes);
    let doneBytes = 0;
    for await (const slab of fileSystem.readSlabs(source.bytes, { ...range, ...readOptions })) {
      try {
        await context.output.bytes(slab.bytes);
        doneBytes += slab.bytes.length;
        progress(doneBytes);
      } finally {
        slab.release();
      }
    }
    report.finishedFile();
    return;
  }
  if (!(await shouldWrite(job, download, target))) return;
  const slabs = fileSystem.readSlabs(source.bytes, { ...range, ...readOptions });
  const isPreserved = options["preserve"] === true;
  await writeLocal(target, slabs, {
    onProgress: report.begin(attributes.sizeBytes),
    ...(isPreserved ? { mode: attributes.mode, mtimeMs: attributes.mtimeMs } : {}),
  });
  report.finishedFile();
  context.output.detail(`got ${source.text}: ${formatCount(attributes.sizeBytes, "byte")}`);
  if (!context.output.options.json) return;
  await context.output.json("ashlar.get/1", {
    ...jsonName("path", source.bytes),
    ...jsonName("target", target.bytes),
    size_bytes: attributes.sizeBytes,
  });
}

/** Returns whether a download is needed. @throws {AshlarError} ALREADY_EXISTS */
async function shouldWrite(
  { context, options, report }: GetJob,
  { source, attributes }: Download,
  target: LocalPath,
): Promise<boolean> {
  if (options["dryRun"] === true) {
    await reportDryRun(context, source, target);
    return false;
  }
  const found = await statOrNull(target);
  const isDevice = found !== null && !found.isFile() && !found.isDirectory();
  if (found === null || isDevice || options["force"] === true) return true;
  if (options["resume"] === true) {
    if (!(await hasSameContent(target, attributes))) return true;
    report.skipped();
    return false;
  }
  throw new AshlarError(
    "ALREADY_EXISTS",
    `Cannot write the local path ${target.text}: file exists`,
    { hint: "--force replaces the file, --resume skips it if it has the same content" },
  );
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
