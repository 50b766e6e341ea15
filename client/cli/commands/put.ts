import { availableParallelism } from "node:os";
import { toHex } from "../../../shared/base/bytes.ts";
import { AshlarError, isAshlarError } from "../../../shared/base/errors.ts";
import { displayName } from "../../../shared/base/path.ts";
import { createHasher } from "../../../shared/platform/hasher.ts";
import type { PutOptions } from "../../options.ts";
import type { CommandContext, OptionValues, RunCommand } from "../command.ts";
import { defaultParallel, forEachItemParallel } from "../each-item.ts";
import { jsonName } from "../format.ts";
import { type LocalEntry, readLocal, statLocal, walkLocal } from "../local-files.ts";
import { hasSameContent } from "../local-root.ts";
import { type NameFilter, nameFilter } from "../name-filter.ts";
import {
  childPath,
  namesDirectory,
  parseRemotePath,
  type RemotePath,
  remotePath,
} from "../remote-paths.ts";
import { TransferReport } from "../transfer-report.ts";
import { splitTarget, statOrNull } from "../transfer-targets.ts";

/** One file to be put. `entry` null: standard input. */
interface Upload {
  readonly entry: LocalEntry | null;
  readonly target: RemotePath;
}

interface Job {
  readonly context: CommandContext;
  readonly options: OptionValues;
  readonly report: TransferReport;
  readonly filter: NameFilter;
}

export const run: RunCommand = async (context, commandArguments, options) => {
  const { sources, target } = splitTarget(commandArguments);
  const report = new TransferReport(context, "put");
  const job: Job = { context, options, report, filter: nameFilter(options) };
  const parallel =
    (options["parallel"] as number | undefined) ?? defaultParallel(availableParallelism());
  context.output.detail(`files at a time: ${parallel}`);
  try {
    await forEachItemParallel(context, uploads(job, sources, target), {
      parallel,
      task: (upload) => putOne(job, upload),
    });
  } finally {
    report.end();
  }
};

/** The files to be put, in order; directories are made on the way, before what is in them. */
async function* uploads(
  job: Job,
  sources: readonly string[],
  targetText: string,
): AsyncGenerator<Upload> {
  const { context, options } = job;
  const target = parseRemotePath(context, targetText);
  const into = await isInto(job, sources, targetText);
  const isRecursive = options["recursive"] === true;
  for (const source of sources) {
    if (source === "-") {
      yield { entry: null, target };
      continue;
    }
    const path = Buffer.from(context.bytesOf(source.replace(/\/+$/, "") || "/"));
    const name = ownName(path);
    const own = into && name !== null ? remotePath(childPath(target.bytes, name)) : target;
    const stats = await statLocal(path);
    if (!stats.isDirectory()) {
      yield { entry: { path, relative: name ?? path, kind: "file", stats }, target: own };
    } else if (isRecursive) {
      yield* uploadsOfTree(job, path, own);
    } else {
      throw new AshlarError(
        "IS_A_DIRECTORY",
        `Cannot put ${displayName(path)}: it is a directory`,
        { hint: `ashlar put -r ${source} ${targetText}` },
      );
    }
  }
}

/** Whether the sources go into the target, by the rules of cp(1). */
async function isInto(job: Job, sources: readonly string[], targetText: string): Promise<boolean> {
  const { context } = job;
  const target = parseRemotePath(context, targetText);
  const found = await statOrNull(await context.fileSystem(), target.bytes, context.signal);
  if (found?.kind === "directory") return true;
  if (sources.length === 1 && !namesDirectory(targetText)) return false;
  throw new AshlarError(
    found === null ? "NOT_FOUND" : "NOT_A_DIRECTORY",
    `Cannot put into ${target.text}: expected a directory: ${found === null ? "nothing" : "a file"} is there`,
    { hint: `ashlar mkdir -p ${targetText}` },
  );
}

/** The last name of a local path; null where it has none of its own ("/", ".", ".."). */
function ownName(path: Buffer): Buffer | null {
  const name = path.subarray(path.lastIndexOf(0x2f) + 1);
  return ["", ".", ".."].includes(name.toString("latin1")) ? null : name;
}

async function* uploadsOfTree(job: Job, root: Buffer, target: RemotePath): AsyncGenerator<Upload> {
  const { context, options } = job;
  await makeDirectory(job, target, await modeOf(options, root));
  const onSkipped = (path: Buffer, why: string): void => {
    job.report.skipped();
    context.output.warn(`passing over ${displayName(path)}: ${why}`);
  };
  for await (const entry of walkLocal(root, onSkipped)) {
    if (!job.filter(entry.relative) && entry.kind === "file") continue;
    const below = remotePath(childPath(target.bytes, entry.relative));
    if (entry.kind === "file") yield { entry, target: below };
    else await makeDirectory(job, below, entry.stats.mode & 0o7777);
  }
}

async function modeOf(options: OptionValues, path: Buffer): Promise<number> {
  return options["preserve"] === true ? (await statLocal(path)).mode & 0o7777 : 0o755;
}

async function makeDirectory(job: Job, path: RemotePath, mode: number): Promise<void> {
  if (job.options["dryRun"] === true) return;
  const fileSystem = await job.context.fileSystem();
  const bits = job.options["preserve"] === true ? mode : 0o755;
  await fileSystem.mkdir(path.bytes, { parents: true, mode: bits, signal: job.context.signal });
}

async function putOne(job: Job, { entry, target }: Upload): Promise<void> {
  const { context, options, report } = job;
  const { output, signal } = context;
  if (options["dryRun"] === true) {
    await output.line(
      `would put ${entry === null ? "-" : displayName(entry.path)} at ${target.text}`,
    );
    return;
  }
  const fileSystem = await context.fileSystem();
  if (options["resume"] === true && entry !== null) {
    const found = await statOrNull(fileSystem, target.bytes, signal);
    if (found?.kind === "file" && (await hasSameContent(entry.path, found)))
      return report.skipped();
  }
  const onProgress = report.begin(entry?.stats.size ?? 0);
  const source = entry === null ? process.stdin : readLocal(entry.path);
  try {
    const result = await fileSystem.writeFile(target.bytes, checked(source, options), {
      ...putOptions(job, entry),
      onProgress,
      signal,
    });
    onProgress(result.sizeBytes);
    report.finishedFile();
    await reportPut(context, target, result);
  } catch (error) {
    if (options["clobber"] === false && isAshlarError(error, "ALREADY_EXISTS")) {
      return report.skipped();
    }
    throw withForceHint(error);
  }
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
  context.output.detail(`put ${target.text}: ${result.sizeBytes} bytes`);
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

function putOptions(job: Job, entry: LocalEntry | null): PutOptions {
  const { options } = job;
  const mode = options["mode"] as number | undefined;
  const storageClass = options["class"] as string | undefined;
  const chunkSizeBytes = options["chunkSize"] as number | undefined;
  const isPreserved = options["preserve"] === true && entry !== null;
  return {
    replace: options["force"] === true || options["resume"] === true,
    ...(isPreserved
      ? {
          mode: entry.stats.mode & 0o7777,
          uid: entry.stats.uid,
          gid: entry.stats.gid,
          mtimeMs: entry.stats.mtimeMs,
        }
      : {}),
    ...(mode === undefined ? {} : { mode }),
    ...(storageClass === undefined ? {} : { storageClass }),
    ...(chunkSizeBytes === undefined ? {} : { chunkSizeBytes }),
    ...(entry === null ? {} : { sizeHint: entry.stats.size }),
  };
}

/** With --checksum the source fails at its end if it hashes to something else: nothing is published. */
async function* checked(
  source: AsyncIterable<Uint8Array>,
  options: OptionValues,
): AsyncGenerator<Uint8Array> {
  const wanted = options["checksum"] as string | undefined;
  if (wanted === undefined) {
    yield* source;
    return;
  }
  const digits = /^blake3:([0-9a-f]{64})$/.exec(wanted)?.[1];
  if (digits === undefined) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot use --checksum: expected blake3: and 64 hex digits: got "${wanted}"`,
    );
  }
  const stream = createHasher().hasher.stream();
  for await (const bytes of source) {
    stream.update(bytes);
    yield bytes;
  }
  const found = toHex(stream.digest());
  if (found === digits) return;
  throw new AshlarError(
    "CHUNK_CORRUPT",
    `Cannot put the source: expected blake3:${digits}: it hashes to ${found}`,
  );
}

function withForceHint(error: unknown): unknown {
  if (!isAshlarError(error, "ALREADY_EXISTS")) return error;
  return new AshlarError(error.code, error.message, {
    hint: "--force replaces it, --no-clobber passes it over",
    details: error.details,
    cause: error,
  });
}
