import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { formatCount, jsonName } from "../../../shared/display/format.ts";
import type { FileAttributes } from "../../../shared/protocol/attributes.ts";
import type { Slab } from "../../results.ts";
import { parseByteRange } from "../byte-range.ts";
import type { CommandContext, RunCommand } from "../command.ts";
import { forEachItemParallel } from "../each-item.ts";
import { type Download, type GetJob, localAttributes } from "../local/get-job.ts";
import { downloads, getArguments } from "../local/get-sources.ts";
import { applyAttributes } from "../local/local-attributes.ts";
import { finishLocalDirectory } from "../local/local-directory.ts";
import { localError } from "../local/local-error.ts";
import { examineTarget } from "../local/local-target.ts";
import { PendingTasks } from "../local/pending-tasks.ts";
import { hasSameContent } from "../local/same-content.ts";
import { writeLocal } from "../local/write-local.ts";
import type { LocalPath } from "../local-path.ts";
import { nameFilter } from "../name-filter.ts";
import { parallelismOf } from "../parallelism.ts";
import { withPathInError } from "../path-in-error.ts";
import { readOptionsOf } from "../read-options.ts";
import type { RemotePath } from "../remote-paths.ts";
import { replaceRuleOf } from "../replace-flags.ts";
import { TargetClaims } from "../target-claims.ts";
import { TransferReport } from "../transfer-report.ts";
import { writeByRule } from "../write-by-rule.ts";

/** A file to get. */
type FileDownload = Download & { readonly kind: "file" };

export const run: RunCommand = async (context, commandArguments, options) => {
  const found = getArguments(commandArguments, options);
  const filter = nameFilter(options);
  const rule = replaceRuleOf(options);
  const claims = new TargetClaims(found.sources);
  const readOptions = await readOptionsOf(context, options);
  const report = new TransferReport(context, "get", rule);
  const pending = new PendingTasks();
  const job: GetJob = { context, options, report, filter, rule, claims, readOptions, pending };
  // Standard output takes one file after the other.
  const parallelism = parallelismOf(options, found.target === "-" ? "ask" : rule);
  let isComplete = false;
  try {
    await forEachItemParallel(context, downloads(job, found), {
      weightMax: parallelism.weightMax,
      weightOf: (download) =>
        download.kind === "file" ? parallelism.weightOf(download.attributes.sizeBytes) : 1,
      task: (download) => pending.run(() => report.counted(() => getOne(job, download))),
    });
    isComplete = options["dryRun"] !== true;
  } finally {
    await report.end({ isList: options["recursive"] === true, isComplete });
  }
};

async function getOne(job: GetJob, download: Download): Promise<void> {
  if (download.kind === "failed") throw download.error;
  if (download.kind === "made") return;
  const { target } = download;
  if (download.kind === "finish") {
    const isOwnerKept = await finishLocalDirectory(download.target, download.attributes);
    if (!isOwnerKept) job.report.differs("owners", download.target.text);
    return;
  }
  const { source } = download;
  const named = { verb: "get", source: source.text, target: target?.text ?? "-" };
  if (target === null) return withPathInError(named, () => printOne(job, download));
  await job.claims.during({ target: target.bytes, source: source.bytes }, () =>
    withPathInError(named, () => writeOne(job, download, target)),
  );
}

/** Writes a file to standard output. */
async function printOne(job: GetJob, { source, attributes }: FileDownload): Promise<void> {
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
  report.finishedFile(doneBytes);
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
async function writeOne(job: GetJob, download: FileDownload, target: LocalPath): Promise<boolean> {
  const { context, options, report } = job;
  const { source, attributes } = download;
  if (options["dryRun"] === true) {
    await reportDryRun(context, source, target);
    return true;
  }
  if (await hasSource(job, attributes, target)) {
    report.skipped();
    return true;
  }
  const sizeBytes = await writeByRule(context, {
    rule: job.rule,
    target: target.text,
    write: (replace) => store(job, download, { target, replace }),
  });
  if (sizeBytes === null) {
    report.skipped();
    return false;
  }
  report.finishedFile(sizeBytes);
  await reportGot(context, download, target);
  return true;
}

/** Writes a file. @returns the number of bytes */
async function store(
  job: GetJob,
  { source, attributes }: FileDownload,
  { target, replace }: { readonly target: LocalPath; readonly replace: boolean },
): Promise<number> {
  const { context, options, report } = job;
  let writtenBytes = 0;
  let progress: ReturnType<TransferReport["begin"]> | null = null;
  const isOwnerKept = await writeLocal(target, await slabsOf(job, source, attributes), {
    signal: context.signal,
    waits: context.waits,
    onProgress: (bytes) => {
      writtenBytes = bytes;
      progress ??= report.begin(attributes.sizeBytes); // The target can be written.
      progress(bytes);
    },
    replace,
    preserve: options["preserve"] === true,
    attributes: localAttributes(job, attributes),
  });
  if (!isOwnerKept) report.differs("owners", target.text);
  return writtenBytes;
}

/**
 * Returns whether, with --resume, the target has the content of the source. With --preserve it then
 * gets its attributes.
 */
async function hasSource(
  job: GetJob,
  attributes: FileAttributes,
  target: LocalPath,
): Promise<boolean> {
  const { context, options } = job;
  if (options["resume"] !== true || (await examineTarget(target)).kind !== "file") return false;
  if (!(await hasSameContent(target, attributes, context.signal))) return false;
  if (options["preserve"] !== true) return true;
  try {
    await using file = await open(target.systemPath, constants.O_RDONLY | constants.O_NONBLOCK);
    const isOwnerKept = await applyAttributes(file.fd, localAttributes(job, attributes));
    if (!isOwnerKept) job.report.differs("owners", target.text);
    return true;
  } catch (error) {
    throw localError(error, "set the attributes of", target);
  }
}

async function reportGot(
  { output }: CommandContext,
  { source, attributes }: FileDownload,
  target: LocalPath,
): Promise<void> {
  output.detail(`got ${source.text}: ${formatCount(attributes.sizeBytes, "byte")}`);
  if (!output.options.json) return;
  await output.json("ashlar.get/1", {
    ...jsonName("path", source.bytes),
    ...jsonName("target", target.bytes),
    size_bytes: attributes.sizeBytes,
  });
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
