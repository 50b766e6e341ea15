import type { Stats } from "node:fs";
import { stat } from "node:fs/promises";
import { AshlarError } from "../../../shared/base/errors.ts";
import { pathErrorMessage } from "../../../shared/base/path-errors.ts";
import { formatCount } from "../../../shared/display/format.ts";
import { shellWord } from "../../../shared/display/shell-word.ts";
import { bytesOfText } from "../argument-text.ts";
import type { OptionValues } from "../command.ts";
import { LocalPath } from "../local-path.ts";
import { baseName, namesDirectory, type RemotePath } from "../remote-paths.ts";
import { planSources, splitTarget } from "../transfer-targets.ts";
import type { Download, GetJob } from "./get-job.ts";
import { downloadsOfTree } from "./get-tree.ts";
import { localError } from "./local-error.ts";
import { directoryOf } from "./local-target.ts";
import { removeLeftovers } from "./temporary-files.ts";

/** Sources of a get and its target. */
export interface GetArguments {
  readonly sources: readonly string[];
  /** `-` for standard output. */
  readonly target: string;
}

/**
 * Splits the arguments. A single argument is a source for the working directory.
 *
 * @throws {AshlarError} INVALID_ARGUMENT if they cannot be used
 */
export function getArguments(
  commandArguments: readonly string[],
  options: OptionValues,
): GetArguments {
  const isAlone = commandArguments.length === 1;
  const found = splitTarget(isAlone ? [...commandArguments, "."] : commandArguments, "get");
  if (isNoTarget(options) && found.sources.length > 1) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot use -T: expected one source: current value is ${formatCount(found.sources.length, "source")}`,
    );
  }
  return found;
}

function isNoTarget(options: OptionValues): boolean {
  return options["targetDirectory"] === false;
}

/** Yields the files to get, in order. Local directories are made on the way. */
export async function* downloads(
  job: GetJob,
  { sources, target: targetText }: GetArguments,
): AsyncGenerator<Download, void, void> {
  const { context, options, readOptions } = job;
  const target = targetText === "-" ? null : LocalPath.parse(context.env, targetText);
  const isDirectory =
    target !== null && !isNoTarget(options) && (await isTargetDirectory(target, targetText));
  if (target !== null && options["dryRun"] !== true) {
    await removeLeftovers(isDirectory ? target : directoryOf(target));
  }
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
      const isEntry = isDirectory && !each.isContents;
      const asEntry = { target, isEntry, isAlone: sources.length === 1, targetText };
      yield* downloadsOf(job, each.source, asEntry);
    } catch (error) {
      if (context.signal.aborted) throw error;
      yield { kind: "failed", error };
    }
  }
}

interface NamedTarget {
  readonly target: LocalPath | null;
  /** Whether the target is a directory that receives the source as an entry. */
  readonly isEntry: boolean;
  readonly isAlone: boolean;
  readonly targetText: string;
}

async function* downloadsOf(
  job: GetJob,
  source: RemotePath,
  named: NamedTarget,
): AsyncGenerator<Download, void, void> {
  const { context, options, readOptions } = job;
  const fileSystem = await context.fileSystem();
  const attributes = await fileSystem.stat(source.bytes, readOptions);
  if (attributes.kind === "file") {
    const { target, isEntry } = named;
    const own = isEntry && target !== null ? entryOf(target, source) : target;
    yield { kind: "file", source, attributes, target: own };
    return;
  }
  const target = await treeTarget(job, source, named);
  if (options["recursive"] !== true || target === null) {
    // "-" is standard output, which takes no tree.
    const shown = target === null ? "DIRECTORY" : shellWord(bytesOfText(named.targetText));
    throw new AshlarError("IS_A_DIRECTORY", pathErrorMessage("IS_A_DIRECTORY", source.text), {
      hint: `ashlar get -r ${shellWord(source.bytes)} ${shown}`,
    });
  }
  yield* downloadsOfTree(job, { source, attributes }, target);
}

/**
 * Returns the target of a directory. With --resume, a single one is continued where it was: in the
 * entry of the target if that exists, else in the target itself.
 */
async function treeTarget(
  job: GetJob,
  source: RemotePath,
  { target, isEntry, isAlone, targetText }: NamedTarget,
): Promise<LocalPath | null> {
  const { context, options, readOptions } = job;
  if (target === null || !isEntry) return target;
  const nested = entryOf(target, source);
  const isWorkingDirectory = targetText === "." || targetText === "..";
  if (!isAlone || namesDirectory(targetText) || isWorkingDirectory) return nested;
  if (options["resume"] !== true) {
    if (!context.output.options.json && options["recursive"] === true) {
      context.output.note(
        `${target.text} exists: getting ${source.text} to ${nested.text}; with -T, its entries go to ${target.text}`,
      );
    }
    return nested;
  }
  // A directory with an entry of its own name: TARGET/NAME can be that entry.
  const name = baseName(source.bytes);
  const fileSystem = await context.fileSystem();
  const inner = Buffer.concat([source.bytes, Buffer.from("/"), name]);
  const hasOwnName = await fileSystem.stat(inner, readOptions).then(
    () => true,
    () => false,
  );
  if (!hasOwnName && (await statOrNull(nested))?.isDirectory() === true) return nested;
  context.output.detail(`continuing in ${target.text}`);
  return target;
}

function entryOf(target: LocalPath, source: RemotePath): LocalPath {
  return target.withoutSlashes().join(baseName(source.bytes));
}

/**
 * Returns whether the local target is a directory, which receives the sources as entries.
 *
 * @throws {AshlarError} NOT_A_DIRECTORY if `text` ends with a slash and there is no directory
 */
async function isTargetDirectory(target: LocalPath, text: string): Promise<boolean> {
  const found = await statOrNull(target);
  if (found?.isDirectory() === true) return true;
  if (namesDirectory(text)) throw notDirectory(target);
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
