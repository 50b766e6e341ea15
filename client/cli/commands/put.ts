import { toHex } from "../../../shared/base/bytes.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import { formatCount, jsonName } from "../../../shared/display/format.ts";
import { createHasher } from "../../../shared/platform/hasher.ts";
import type { FileAttributes } from "../../../shared/protocol/attributes.ts";
import type { PutOptions } from "../../options.ts";
import type { PutResult } from "../../results.ts";
import type { CommandContext, OptionValues, RunCommand } from "../command.ts";
import { confirm } from "../confirm.ts";
import { forEachItemParallel } from "../each-item.ts";
import { statOrNull } from "../exists.ts";
import { HashCheck } from "../local/hash-check.ts";
import { LocalSource } from "../local/local-source.ts";
import { PendingTasks } from "../local/pending-tasks.ts";
import { keptAttributes, newFileMode, type PutJob, type Upload } from "../local/put-job.ts";
import { putArguments, uploads } from "../local/put-sources.ts";
import { hasSameContent } from "../local/same-content.ts";
import { standardInput } from "../local/standard-input.ts";
import { LocalPath } from "../local-path.ts";
import { nameFilter } from "../name-filter.ts";
import { type Parallelism, parallelismOf } from "../parallelism.ts";
import { withParentHint } from "../parent-hint.ts";
import { withPathInError } from "../path-in-error.ts";
import type { RemotePath } from "../remote-paths.ts";
import { REPLACE_HINT, replaceRuleOf } from "../replace-flags.ts";
import { TargetClaims } from "../target-claims.ts";
import { TransferReport } from "../transfer-report.ts";
import { withReplaceHint } from "../write-by-rule.ts";

/** A file to put. */
type FileUpload = Upload & { readonly kind: "file" };

export const run: RunCommand = async (context, commandArguments, options) => {
  const found = await putArguments(context, commandArguments, options);
  const rule = replaceRuleOf(options);
  const report = new TransferReport(context, "put", rule);
  const claims = new TargetClaims(found.sources);
  const pending = new PendingTasks();
  const filter = nameFilter(options);
  const job: PutJob = { context, options, report, filter, rule, claims, pending };
  const parallelism = parallelismOf(options, rule);
  context.output.detail(`files at a time: ${parallelism.weightMax}`);
  let isComplete = false;
  try {
    await forEachItemParallel(context, uploads(job, found), {
      weightMax: parallelism.weightMax,
      weightOf: (upload) => weightOf(upload, parallelism),
      task: (upload) => pending.run(() => report.counted(() => putOne(job, upload))),
    });
    isComplete = options["dryRun"] !== true;
  } finally {
    // The command does not wait for the writer of the pipe.
    if (found.sources.includes("-")) context.env.stdin.destroy();
    await report.end({ isList: found.isList || options["recursive"] === true, isComplete });
  }
};

/** Returns the weight of an upload. The size of standard input and of a FIFO is not known. */
function weightOf(upload: Upload, parallelism: Parallelism): number {
  if (upload.kind !== "file") return 1;
  const isKnown = upload.entry?.stats.isFile() === true;
  return parallelism.weightOf(isKnown ? Number(upload.entry?.stats.size) : Number.MAX_VALUE);
}

async function putOne(job: PutJob, upload: Upload): Promise<void> {
  if (upload.kind === "failed") throw upload.error;
  if (upload.kind === "made") return;
  const { target } = upload;
  if (upload.kind === "finish") {
    const fileSystem = await job.context.fileSystem();
    const { signal } = job.context;
    await fileSystem.setAttributes(target.bytes, upload.attributes, { signal });
    return;
  }
  const source = upload.entry === null ? Buffer.from("-") : upload.entry.path.bytes;
  await job.claims.during({ target: target.bytes, source }, async () => {
    if (job.options["dryRun"] === true) {
      await reportDryRun(job.context, source, target);
      return true;
    }
    if (await hasTarget(job, upload)) {
      job.report.skipped();
      return true;
    }
    const named = { verb: "put", source: upload.entry?.path.text ?? "-", target: target.text };
    return withPathInError(named, () => writeOne(job, upload));
  });
}

/**
 * Returns whether, with --resume, the target has the content of the local file. With --preserve it
 * then gets its attributes.
 */
async function hasTarget(job: PutJob, { entry, target }: FileUpload): Promise<boolean> {
  const { context, options } = job;
  if (options["resume"] !== true || entry === null) return false;
  const { signal } = context;
  const fileSystem = await context.fileSystem();
  const found = await statOrNull(fileSystem, target.bytes, { signal });
  if (found?.kind !== "file" || !(await hasSameContent(entry.path, found, signal))) return false;
  const kept = keptAttributes(entry);
  if (options["preserve"] === true && !hasAttributes(found, kept)) {
    await fileSystem.setAttributes(target.bytes, kept, { signal });
  }
  return true;
}

function hasAttributes(
  found: FileAttributes,
  { mode, uid, gid, mtimeMs }: ReturnType<typeof keptAttributes>,
): boolean {
  const isSameOwner = found.uid === uid && found.gid === gid;
  return isSameOwner && found.mode === mode && found.mtimeMs === mtimeMs;
}

/** Stores a file. @returns false if the target existed before the command and was skipped */
async function writeOne(job: PutJob, upload: FileUpload): Promise<boolean> {
  const { context, report } = job;
  const replace = await mayReplace(job, upload.target);
  if (replace === null) {
    report.skipped();
    return false;
  }
  try {
    const result = await withParentHint(context, upload.target.bytes, () =>
      store(job, upload, replace),
    );
    report.finishedFile(result.sizeBytes);
    await reportPut(context, upload, result);
    return true;
  } catch (error) {
    if (!isAshlarError(error, "ALREADY_EXISTS")) throw error;
    if (job.rule !== "skip") throw withReplaceHint(error);
    report.skipped();
    return false;
  }
}

async function store(job: PutJob, upload: FileUpload, replace: boolean): Promise<PutResult> {
  const { context, options, report } = job;
  const { entry, target, isInTree } = upload;
  const { signal } = context;
  const fileSystem = await context.fileSystem();
  const check = hashCheck(options);
  await using local =
    entry === null
      ? null
      : await LocalSource.open(entry.path, { signal, check, isRegularOnly: isInTree });
  const stdin = standardInput(context);
  using _wait = isSlowSource(entry) ? context.waits.begin(entry.path.text) : null;
  const onProgress = report.begin(Number(entry?.stats.size ?? 0));
  const result = await fileSystem.writeFile(target.bytes, local ?? check?.through(stdin) ?? stdin, {
    ...putOptions(job, local === null || entry === null ? entry : { ...entry, stats: local.stats }),
    replace,
    onProgress,
    signal,
  });
  onProgress(result.sizeBytes);
  return result;
}

/** Returns whether reads of a file wait for its writer, such as those of a FIFO. */
function isSlowSource(entry: FileUpload["entry"]): entry is NonNullable<FileUpload["entry"]> {
  return entry !== null && !entry.stats.isFile();
}

/** Returns whether an existing target is replaced; null if the user answered no. */
async function mayReplace({ context, rule }: PutJob, target: RemotePath): Promise<boolean | null> {
  if (rule !== "ask") return rule === "replace";
  const fileSystem = await context.fileSystem();
  if (!(await fileSystem.exists(target.bytes, { signal: context.signal }))) return false;
  return (await confirm(context, `Replace ${target.text}?`, REPLACE_HINT)) ? true : null;
}

async function reportDryRun(
  { output }: CommandContext,
  source: Buffer,
  target: RemotePath,
): Promise<void> {
  if (!output.options.json) {
    return output.line(`would put ${new LocalPath(source).text} at ${target.text}`);
  }
  await output.json("ashlar.put/1", {
    ...jsonName("path", target.bytes),
    ...jsonName("source", source),
    is_dry_run: true,
  });
}

function hashCheck(options: OptionValues): HashCheck | null {
  const expected = options["checksum"] as string | undefined;
  return expected === undefined ? null : new HashCheck(createHasher().hasher.stream(), expected);
}

async function reportPut(
  context: CommandContext,
  { entry, target }: FileUpload,
  result: PutResult,
): Promise<void> {
  context.output.detail(`put ${target.text}: ${formatCount(result.sizeBytes, "byte")}`);
  if (!context.output.options.json) return;
  await context.output.json("ashlar.put/1", {
    ...jsonName("path", target.bytes),
    size_bytes: result.sizeBytes,
    chunk_count: result.chunkCount,
    sent_bytes: result.sentBytes,
    content_root: toHex(result.contentRoot),
    index: result.index,
    ...(entry?.isLink === true ? { is_link: true } : {}),
  });
}

/** @param entry with the stats at the time of opening: the walk can be far ahead */
function putOptions(job: PutJob, entry: FileUpload["entry"]): PutOptions {
  const { options } = job;
  const mode = options["mode"] as number | undefined;
  const storageClass = options["class"] as string | undefined;
  const chunkSizeBytes = options["chunkSize"] as number | undefined;
  const isPreserved = options["preserve"] === true && entry !== null;
  return {
    ...(isPreserved
      ? { ...keptAttributes(entry), replaceAttributes: true }
      : { mode: newFileMode(job, entry) }),
    ...(mode === undefined ? {} : { mode }),
    ...(storageClass === undefined ? {} : { storageClass }),
    ...(chunkSizeBytes === undefined ? {} : { chunkSizeBytes }),
    ...(entry?.stats.isFile() === true ? { sizeHint: Number(entry.stats.size) } : {}),
  };
}
