import { availableParallelism } from "node:os";
import { toHex } from "../../../shared/base/bytes.ts";
import { AshlarError, isAshlarError } from "../../../shared/base/errors.ts";
import { pathErrorMessage } from "../../../shared/base/path-errors.ts";
import { formatCount, jsonName } from "../../../shared/display/format.ts";
import { shellWord } from "../../../shared/display/shell-word.ts";
import { createHasher } from "../../../shared/platform/hasher.ts";
import type { PutOptions } from "../../options.ts";
import type { CommandContext, OptionValues, RunCommand } from "../command.ts";
import { confirm } from "../confirm.ts";
import { defaultParallel, forEachItemParallel } from "../each-item.ts";
import { exists, statOrNull } from "../exists.ts";
import { HashCheck } from "../local/hash-check.ts";
import { LocalSource } from "../local/local-source.ts";
import { hasSameContent } from "../local/same-content.ts";
import { standardInput } from "../local/standard-input.ts";
import { type LocalEntry, statLocal, walkLocal } from "../local-files.ts";
import { LocalPath } from "../local-path.ts";
import { type NameFilter, nameFilter } from "../name-filter.ts";
import { readNames } from "../names-file.ts";
import {
  childPath,
  hasTrailingSlash,
  parseRemotePath,
  type RemotePath,
  remotePath,
} from "../remote-paths.ts";
import { REPLACE_HINT, type ReplaceRule, replaceRuleOf } from "../replace-flags.ts";
import { TargetClaims } from "../target-claims.ts";
import { TransferReport } from "../transfer-report.ts";
import { splitTarget } from "../transfer-targets.ts";
import { withReplaceHint } from "../write-by-rule.ts";

/** One file to put, or the error of a source. `entry` is null for standard input. */
type Upload =
  | { readonly kind: "file"; readonly entry: LocalEntry | null; readonly target: RemotePath }
  | { readonly kind: "failed"; readonly error: unknown };

/** Context of all uploads of one command. */
interface PutJob {
  readonly context: CommandContext;
  readonly options: OptionValues;
  readonly report: TransferReport;
  readonly filter: NameFilter;
  readonly rule: ReplaceRule;
  readonly claims: TargetClaims;
}

export const run: RunCommand = async (context, commandArguments, options) => {
  const { sources, target } = await sourcesAndTarget(context, commandArguments, options);
  const report = new TransferReport(context, "put");
  const rule = replaceRuleOf(options);
  const claims = new TargetClaims(sources);
  const job: PutJob = { context, options, report, filter: nameFilter(options), rule, claims };
  const parallel =
    rule === "ask"
      ? 1
      : ((options["parallel"] as number | undefined) ?? defaultParallel(availableParallelism()));
  context.output.detail(`files at a time: ${parallel}`);
  try {
    await forEachItemParallel(context, uploads(job, sources, target), {
      parallel,
      task: (upload) => putOne(job, upload),
    });
  } finally {
    report.end();
    // The command does not wait for the writer of the pipe.
    if (sources.includes("-")) context.env.stdin.destroy();
  }
};

async function sourcesAndTarget(
  context: CommandContext,
  commandArguments: readonly string[],
  options: OptionValues,
): Promise<{ readonly sources: readonly string[]; readonly target: string }> {
  const list = options["filesFrom"] as string | undefined;
  if (list === undefined) return splitTarget(commandArguments);
  const [target, ...rest] = commandArguments;
  if (target === undefined || rest.length > 0) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot use the arguments: expected one target with --files-from: current value is ${formatCount(commandArguments.length, "argument")}`,
    );
  }
  return { sources: await readNames(context, list, options["null"] === true), target };
}

/** Yields the files to put, in order. Directories are made on the way, before their entries. */
async function* uploads(
  job: PutJob,
  sources: readonly string[],
  targetText: string,
): AsyncGenerator<Upload> {
  const target = parseRemotePath(targetText);
  const isDirectory = await isTargetDirectory(job, sources, targetText);
  if (job.options["checksum"] !== undefined && sources.length > 1) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot use --checksum: expected one source: current value is ${sources.length} sources`,
    );
  }
  for (const source of sources) {
    try {
      yield* uploadsOf(job, { source, targetText, target, isDirectory });
    } catch (error) {
      if (job.context.signal.aborted) throw error;
      yield { kind: "failed", error };
    }
  }
}

async function* uploadsOf(
  job: PutJob,
  from: {
    readonly source: string;
    readonly targetText: string;
    readonly target: RemotePath;
    readonly isDirectory: boolean;
  },
): AsyncGenerator<Upload> {
  const { source, target } = from;
  if (source === "-") {
    yield { kind: "file", entry: null, target };
    return;
  }
  const path = LocalPath.parse(job.context.env, source).withoutSlashes();
  const name = ownName(path);
  const ownTarget =
    from.isDirectory && name !== null ? remotePath(childPath(target.bytes, name)) : target;
  const stats = await statLocal(path);
  if (!stats.isDirectory()) {
    const entry: LocalEntry = { path, relative: name ?? path.bytes, kind: "file", stats };
    yield { kind: "file", entry, target: ownTarget };
  } else if (job.options["recursive"] === true) {
    yield* uploadsOfTree(job, path, ownTarget);
  } else {
    throw new AshlarError("IS_A_DIRECTORY", pathErrorMessage("IS_A_DIRECTORY", path.text), {
      hint: `ashlar put -r -- ${shellWord(path.bytes)} ${shellWord(target.bytes)}`,
    });
  }
}

/**
 * Returns whether the target is a directory, which receives the sources as entries, by the rules of
 * cp(1).
 *
 * @throws {AshlarError} NOT_FOUND, NOT_A_DIRECTORY if a directory is needed
 */
async function isTargetDirectory(
  job: PutJob,
  sources: readonly string[],
  targetText: string,
): Promise<boolean> {
  const { context } = job;
  const target = parseRemotePath(targetText);
  const found = await statOrNull(await context.fileSystem(), target.bytes, {
    signal: context.signal,
  });
  if (found?.kind === "directory") return true;
  if (sources.length === 1 && !hasTrailingSlash(targetText)) return false;
  const code = found === null ? "NOT_FOUND" : "NOT_A_DIRECTORY";
  throw new AshlarError(code, pathErrorMessage(code, target.text), {
    hint: `ashlar mkdir -p ${shellWord(target.bytes)}`,
  });
}

/** Returns the last name of a local path; null for "/", "." and "..". */
function ownName({ bytes }: LocalPath): Buffer | null {
  const name = bytes.subarray(bytes.lastIndexOf(0x2f) + 1);
  return ["", ".", ".."].includes(name.toString("latin1")) ? null : name;
}

async function* uploadsOfTree(
  job: PutJob,
  root: LocalPath,
  target: RemotePath,
): AsyncGenerator<Upload> {
  const { context, options } = job;
  await makeDirectory(job, target, await modeOf(options, root));
  const onSkipped = (path: LocalPath, reason: string): void => {
    job.report.skipped();
    context.output.warn(`skipping ${path.text}: ${reason}`);
  };
  for await (const entry of walkLocal(root, onSkipped)) {
    if (!job.filter(entry.relative) && entry.kind === "file") continue;
    const below = remotePath(childPath(target.bytes, entry.relative));
    if (entry.kind === "file") yield { kind: "file", entry, target: below };
    else await makeDirectory(job, below, entry.stats.mode & 0o7777);
  }
}

async function modeOf(options: OptionValues, path: LocalPath): Promise<number> {
  return options["preserve"] === true ? (await statLocal(path)).mode & 0o7777 : 0o755;
}

async function makeDirectory(job: PutJob, path: RemotePath, mode: number): Promise<void> {
  if (job.options["dryRun"] === true) return;
  const fileSystem = await job.context.fileSystem();
  const bits = job.options["preserve"] === true ? mode : 0o755;
  await fileSystem.mkdir(path.bytes, { parents: true, mode: bits, signal: job.context.signal });
}

async function putOne(job: PutJob, upload: Upload): Promise<void> {
  if (upload.kind === "failed") throw upload.error;
  const { entry, target } = upload;
  const source = entry === null ? Buffer.from("-") : entry.path.bytes;
  await job.claims.during({ target: target.bytes, source }, async () => {
    if (job.options["dryRun"] === true) {
      await reportDryRun(job.context, entry, target);
      return true;
    }
    if (entry !== null && (await hasTarget(job, entry, target))) {
      job.report.skipped();
      return true;
    }
    return writeOne(job, entry, target);
  });
}

/** Returns whether, with --resume, the target has the content of the local file. */
async function hasTarget(job: PutJob, entry: LocalEntry, target: RemotePath): Promise<boolean> {
  const { context, options } = job;
  if (options["resume"] !== true) return false;
  const fileSystem = await context.fileSystem();
  const found = await statOrNull(fileSystem, target.bytes, { signal: context.signal });
  return found?.kind === "file" && (await hasSameContent(entry.path, found, context.signal));
}

/** Stores a file. @returns false if the target existed before the command and was skipped */
async function writeOne(
  job: PutJob,
  entry: LocalEntry | null,
  target: RemotePath,
): Promise<boolean> {
  const { context, options, report } = job;
  const { signal } = context;
  const fileSystem = await context.fileSystem();
  const replace = await mayReplace(job, target);
  if (replace === null) {
    report.skipped();
    return false;
  }
  const check = hashCheck(options);
  const onProgress = report.begin(entry?.stats.size ?? 0);
  try {
    await using local =
      entry === null ? null : await LocalSource.open(entry.path, { signal, check });
    const stdin = standardInput(context.env, signal);
    const source = local ?? check?.through(stdin) ?? stdin;
    const result = await fileSystem.writeFile(target.bytes, source, {
      ...putOptions(job, entry),
      replace,
      onProgress,
      signal,
    });
    onProgress(result.sizeBytes);
    report.finishedFile();
    await reportPut(context, target, result);
    return true;
  } catch (error) {
    if (!isAshlarError(error, "ALREADY_EXISTS")) throw error;
    if (job.rule !== "skip") throw withReplaceHint(error);
    report.skipped();
    return false;
  }
}

/** Returns whether an existing target is replaced; null if the user answered no. */
async function mayReplace(
  { context, options, rule }: PutJob,
  target: RemotePath,
): Promise<boolean | null> {
  if (rule !== "ask") return rule === "replace" || options["resume"] === true;
  const fileSystem = await context.fileSystem();
  if (!(await exists(fileSystem, target.bytes, { signal: context.signal }))) return false;
  return (await confirm(context, `Replace ${target.text}?`, REPLACE_HINT)) ? true : null;
}

async function reportDryRun(
  { output }: CommandContext,
  entry: LocalEntry | null,
  target: RemotePath,
): Promise<void> {
  const source = entry === null ? new LocalPath(Buffer.from("-")) : entry.path;
  if (!output.options.json) {
    return output.line(`would put ${source.text} at ${target.text}`);
  }
  await output.json("ashlar.put/1", {
    ...jsonName("path", target.bytes),
    ...jsonName("source", source.bytes),
    is_dry_run: true,
  });
}

function hashCheck(options: OptionValues): HashCheck | null {
  const expected = options["checksum"] as string | undefined;
  return expected === undefined ? null : new HashCheck(createHasher().hasher.stream(), expected);
}

async function reportPut(
  context: CommandContext,
  target: RemotePath,
  result: {
    sizeBytes: number;
    chunkCount: number;
    sentBytes: number;
    contentRoot: Uint8Array;
    index: number;
  },
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
  });
}

function putOptions(job: PutJob, entry: LocalEntry | null): PutOptions {
  const { options } = job;
  const mode = options["mode"] as number | undefined;
  const storageClass = options["class"] as string | undefined;
  const chunkSizeBytes = options["chunkSize"] as number | undefined;
  const isPreserved = options["preserve"] === true && entry !== null;
  return {
    ...(isPreserved
      ? {
          mode: entry.stats.mode & 0o7777,
          uid: entry.stats.uid,
          gid: entry.stats.gid,
          mtimeMs: Math.max(0, Math.round(entry.stats.mtimeMs)),
        }
      : {}),
    ...(mode === undefined ? {} : { mode }),
    ...(storageClass === undefined ? {} : { storageClass }),
    ...(chunkSizeBytes === undefined ? {} : { chunkSizeBytes }),
    ...(entry === null ? {} : { sizeHint: entry.stats.size }),
  };
}
