import { AshlarError, isAshlarError } from "../../../shared/base/errors.ts";
import { pathErrorMessage } from "../../../shared/base/path-errors.ts";
import { formatCount } from "../../../shared/display/format.ts";
import { shellWord } from "../../../shared/display/shell-word.ts";
import type { CommandContext, OptionValues } from "../command.ts";
import { statOrNull } from "../exists.ts";
import { joinNames, LocalPath } from "../local-path.ts";
import { readNames } from "../names-file.ts";
import {
  childPath,
  namesDirectory,
  parseRemotePath,
  type RemotePath,
  remotePath,
} from "../remote-paths.ts";
import { splitTarget } from "../transfer-targets.ts";
import { withHint } from "../with-hint.ts";
import { statLocal } from "./local-error.ts";
import type { PutJob, Upload } from "./put-job.ts";
import { uploadsOfTree } from "./put-tree.ts";
import type { LocalEntry } from "./walk-local.ts";

const SLASH = 0x2f;

/** Sources of a put and its target. */
export interface PutArguments {
  readonly sources: readonly string[];
  readonly target: string;
  /** Whether the sources come from --files-from. */
  readonly isList: boolean;
}

/** @throws {AshlarError} INVALID_ARGUMENT if the arguments cannot be used */
export async function putArguments(
  context: CommandContext,
  commandArguments: readonly string[],
  options: OptionValues,
): Promise<PutArguments> {
  const list = options["filesFrom"] as string | undefined;
  if (list === undefined)
    return checked({ ...splitTarget(commandArguments, "put"), isList: false }, options);
  const [target, ...rest] = commandArguments;
  if (target === undefined || rest.length > 0) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot use the arguments: expected one target with --files-from: current value is ${formatCount(commandArguments.length, "argument")}`,
    );
  }
  parseRemotePath(target); // Fails before a long list is read.
  const sources = await readNames(context, list, options["null"] === true);
  return checked({ sources, target, isList: true }, options);
}

function checked(putArguments: PutArguments, options: OptionValues): PutArguments {
  const { sources, target } = putArguments;
  const noTarget = isNoTarget(options) ? "-T" : null;
  const flag = options["checksum"] === undefined ? noTarget : "--checksum";
  if (flag !== null && sources.length !== 1) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot use ${flag}: expected one source: current value is ${formatCount(sources.length, "source")}`,
    );
  }
  try {
    parseRemotePath(target);
  } catch (error) {
    throw isAshlarError(error) ? withExample(error, putArguments) : error;
  }
  return putArguments;
}

function isNoTarget(options: OptionValues): boolean {
  return options["targetDirectory"] === false;
}

/** Adds an example: `ashlar put *.md` has no target, and the shell has expanded the pattern. */
function withExample(error: AshlarError, { sources }: PutArguments): AshlarError {
  const [first = "FILE"] = sources;
  const example = `ashlar put ${shellWord(first)} /DIRECTORY/`;
  return withHint(error, `The last argument is the target in the cluster: ${example}`);
}

/** Yields the files to put, in order. Directories are made on the way, before their entries. */
export async function* uploads(
  job: PutJob,
  putArguments: PutArguments,
): AsyncGenerator<Upload, void, void> {
  const target = parseRemotePath(putArguments.target);
  const isDirectory = !isNoTarget(job.options) && (await isTargetDirectory(job, putArguments));
  for (const source of putArguments.sources) {
    try {
      yield* uploadsOf(job, putArguments, { source, target, isDirectory });
    } catch (error) {
      if (job.context.signal.aborted) throw error;
      yield { kind: "failed", error };
    }
  }
}

interface NamedSource {
  readonly source: string;
  readonly target: RemotePath;
  readonly isDirectory: boolean;
}

async function* uploadsOf(
  job: PutJob,
  putArguments: PutArguments,
  from: NamedSource,
): AsyncGenerator<Upload, void, void> {
  const { context, options } = job;
  const { source, target } = from;
  const requireFileName = (): void => {
    if (from.isDirectory || !namesDirectory(putArguments.target)) return;
    throw new AshlarError("NOT_A_DIRECTORY", pathErrorMessage("NOT_A_DIRECTORY", target.text));
  };
  if (source === "-" && !putArguments.isList) {
    requireFileName();
    yield { kind: "file", entry: null, target, isInTree: false };
    return;
  }
  const typed = LocalPath.parse(context.env, source);
  const stats = await statLocal(typed); // With its slashes: "f/" of a file is not a directory.
  const path = typed.withoutSlashes();
  if (stats.isDirectory() && options["recursive"] !== true) {
    throw new AshlarError("IS_A_DIRECTORY", pathErrorMessage("IS_A_DIRECTORY", path.text), {
      hint: `ashlar put -r -- ${shellWord(path.bytes)} ${shellWord(target.bytes)}`,
    });
  }
  const ownTarget = putArguments.isList
    ? await listedTarget(job, path, target)
    : await namedTarget(job, putArguments, { ...from, path, isTree: stats.isDirectory() });
  if (stats.isDirectory()) {
    yield* uploadsOfTree(job, { path, stats }, ownTarget);
    return;
  }
  requireFileName();
  const entry: LocalEntry = { path, relative: path.bytes, kind: "file", stats, isLink: false };
  yield { kind: "file", entry, target: ownTarget, isInTree: false };
}

/** Returns the target of a source by the rules of cp(1). */
async function namedTarget(
  job: PutJob,
  { sources, target: targetText }: PutArguments,
  from: NamedSource & { readonly path: LocalPath; readonly isTree: boolean },
): Promise<RemotePath> {
  const { context, options } = job;
  const { path, target } = from;
  const name = ownName(path);
  if (!from.isDirectory || name === null) return target;
  const nested = remotePath(childPath(target.bytes, name));
  if (!from.isTree || namesDirectory(targetText) || sources.length > 1) return nested;
  if (options["resume"] === true && !(await wasNested(job, path, nested))) {
    context.output.detail(`continuing in ${target.text}`);
    return target;
  }
  if (options["resume"] !== true && !context.output.options.json) {
    context.output.note(
      `${target.text} exists: putting ${path.text} at ${nested.text}; with -T, its entries go to ${target.text}`,
    );
  }
  return nested;
}

/**
 * Returns whether an earlier put of a directory made `nested`, so that --resume continues there. The
 * target did not exist before the first put of `put -r photos /photos`, and exists before the second:
 * that must not make /photos/photos.
 */
async function wasNested(job: PutJob, path: LocalPath, nested: RemotePath): Promise<boolean> {
  const name = ownName(path);
  const { signal } = job.context;
  const fileSystem = await job.context.fileSystem();
  const found = await statOrNull(fileSystem, nested.bytes, { signal });
  if (found?.kind !== "directory" || name === null) return false;
  // A directory with an entry of its own name: TARGET/NAME can be that entry.
  return statLocal(path.join(name)).then(
    () => false,
    () => true,
  );
}

/**
 * Returns the target of a name in --files-from: a relative name keeps its directories, which are made.
 * A name that is absolute or contains `..` is stored under its last name.
 */
async function listedTarget(job: PutJob, path: LocalPath, target: RemotePath): Promise<RemotePath> {
  const names = splitNames(path.bytes);
  const isFlattened = path.bytes[0] === SLASH || names.some((name) => name.equals(DOT_DOT));
  if (isFlattened) job.report.differs("flattened", path.text);
  const kept = isFlattened ? names.slice(-1) : names;
  const relative = kept.reduce((left, name) => joinNames(left, name), Buffer.alloc(0));
  if (relative.length === 0 || relative.equals(DOT_DOT)) return target;
  if (kept.length > 1 && job.options["dryRun"] !== true) {
    const parent = childPath(target.bytes, relative.subarray(0, relative.lastIndexOf(SLASH)));
    const fileSystem = await job.context.fileSystem();
    await fileSystem.mkdir(parent, { parents: true, signal: job.context.signal });
  }
  return remotePath(childPath(target.bytes, relative));
}

const DOT_DOT = Buffer.from("..");

/** Returns the names of a path, without "." and empty ones. */
function splitNames(bytes: Buffer): Buffer[] {
  const names: Buffer[] = [];
  let start = 0;
  for (let end = 0; end <= bytes.length; end += 1) {
    if (end < bytes.length && bytes[end] !== SLASH) continue;
    const name = bytes.subarray(start, end);
    if (name.length > 0 && !(name.length === 1 && name[0] === 0x2e)) names.push(name);
    start = end + 1;
  }
  return names;
}

/**
 * Returns whether the target is a directory, which receives the sources as entries, by the rules of
 * cp(1). With --files-from it must be one.
 *
 * @throws {AshlarError} NOT_FOUND, NOT_A_DIRECTORY if a directory is needed
 */
async function isTargetDirectory(
  { context }: PutJob,
  { sources, target: targetText, isList }: PutArguments,
): Promise<boolean> {
  const target = parseRemotePath(targetText);
  const found = await statOrNull(await context.fileSystem(), target.bytes, {
    signal: context.signal,
  });
  if (found?.kind === "directory") return true;
  if (sources.length === 1 && !isList && !namesDirectory(targetText)) return false;
  const code = found === null ? "NOT_FOUND" : "NOT_A_DIRECTORY";
  const hint = found === null ? { hint: `ashlar mkdir -p ${shellWord(target.bytes)}` } : {};
  throw new AshlarError(code, pathErrorMessage(code, target.text), hint);
}

/** Returns the last name of a local path; null for "/", "." and "..". */
function ownName({ bytes }: LocalPath): Buffer | null {
  const name = bytes.subarray(bytes.lastIndexOf(SLASH) + 1);
  return ["", ".", ".."].includes(name.toString("latin1")) ? null : name;
}
