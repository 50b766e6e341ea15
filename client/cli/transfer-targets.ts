import { existsSync } from "node:fs";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import { pathErrorMessage } from "../../shared/base/path-errors.ts";
import { formatCount } from "../../shared/display/format.ts";
import { shellWord } from "../../shared/display/shell-word.ts";
import { bytesOfText } from "./argument-text.ts";
import type { CommandContext } from "./command.ts";
import { statOrNull } from "./exists.ts";
import { type ExpandedPath, type ExpandOptions, expandPaths } from "./patterns/expand-paths.ts";
import {
  baseName,
  childPath,
  namesContents,
  namesDirectory,
  parseRemotePath,
  type RemotePath,
  remotePath,
} from "./remote-paths.ts";
import { withHint } from "./with-hint.ts";

/** One source and its own target, or the failure of a source. */
export type Transfer =
  | { readonly kind: "transfer"; readonly source: RemotePath; readonly target: RemotePath }
  | { readonly kind: "failed"; readonly error: unknown };

/**
 * Splits the arguments of `mv a b` or `mv a b dir/` into the sources and the target.
 *
 * @param command for the example in the error
 * @throws {AshlarError} INVALID_ARGUMENT for fewer than two arguments
 */
export function splitTarget(
  commandArguments: readonly string[],
  command: string,
): {
  readonly sources: readonly string[];
  readonly target: string;
} {
  const target = commandArguments.at(-1);
  if (target === undefined || commandArguments.length < 2) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot use the arguments: expected a source and a target: current value is ${formatCount(commandArguments.length, "argument")}`,
      { hint: `ashlar ${command} ${shellWord(bytesOfText(target ?? "SOURCE"))} /TARGET` },
    );
  }
  return { sources: commandArguments.slice(0, -1), target };
}

/** A source in the cluster, or the failure of an argument. */
export type PlannedSource =
  | {
      readonly kind: "source";
      readonly source: RemotePath;
      /** Whether the entries of the directory are meant: the argument is `/` or ends with `/.`. */
      readonly isContents: boolean;
    }
  | { readonly kind: "failed"; readonly error: unknown };

/**
 * Yields the sources of `mv`, `cp` and `get` in the cluster. Nothing is yielded before it is known
 * that the target can take all of them: several sources need a directory.
 *
 * @param requireDirectory throws if the target is no directory. It is called before the first
 *   source is yielded, if there are several.
 * @throws {AshlarError} INVALID_ARGUMENT at once if a source cannot be used
 */
export function planSources(
  context: CommandContext,
  sources: readonly string[],
  options: ExpandOptions & { readonly requireDirectory: () => void },
): AsyncGenerator<PlannedSource> {
  const expansions = sources.map((source) => ({
    isContents: namesContents(source),
    paths: expandPaths(context, [source], options),
  }));
  if (sources.length > 1) options.requireDirectory();
  return plannedSources(expansions, options.requireDirectory);
}

interface SourceExpansion {
  readonly isContents: boolean;
  readonly paths: AsyncIterable<ExpandedPath>;
}

async function* plannedSources(
  expansions: readonly SourceExpansion[],
  requireDirectory: () => void,
): AsyncGenerator<PlannedSource> {
  // Reads one source ahead.
  let pending: PlannedSource | null = null;
  for (const { isContents, paths } of expansions) {
    for await (const found of paths) {
      if (pending !== null) {
        requireDirectory();
        yield pending;
      }
      pending = found.kind === "failed" ? found : toSource(found.path, isContents);
    }
  }
  if (pending !== null) yield pending;
}

/** The root has no name that a copy could have: its entries are meant. */
function toSource(source: RemotePath, isContents: boolean): PlannedSource {
  return { kind: "source", source, isContents: isContents || baseName(source.bytes).length === 0 };
}

/**
 * Yields the target of each source in the cluster by the rules of cp(1) and mv(1): an entry of the
 * target if that is a directory, else the target itself, which then takes one source only. The
 * entries of a directory (`SOURCE/.`) have the target itself.
 *
 * @param options.isTargetName the target is the name of the copy, also if it is a directory (-T)
 * @throws {AshlarError} INVALID_ARGUMENT if an argument cannot be used; NOT_A_DIRECTORY if several
 *   sources, or a target with a slash, need a directory; both before the first target is yielded
 */
export async function* remoteTransfers(
  context: CommandContext,
  commandArguments: readonly string[],
  options: {
    readonly command: "cp" | "mv";
    readonly glob: boolean;
    readonly isTargetName?: boolean;
  },
): AsyncGenerator<Transfer> {
  const { sources, target: targetText } = splitTarget(commandArguments, options.command);
  const target = parseInCluster(targetText);
  for (const source of sources) parseInCluster(source);
  const fileSystem = await context.fileSystem();
  const found = await statOrNull(fileSystem, target.bytes, { signal: context.signal });
  const isDirectory = found?.kind === "directory" && options.isTargetName !== true;
  const requireDirectory = (): void => {
    if (isDirectory) return;
    throw found?.kind === "directory" ? severalSources() : noDirectory(target, found !== null);
  };
  if (namesDirectory(targetText) && found?.kind !== "directory") requireDirectory();
  const planned = planSources(context, sources, { ...options, requireDirectory });
  for await (const each of planned) {
    if (each.kind === "failed") yield each;
    else yield toTransfer(each, target, isDirectory);
  }
}

function toTransfer(
  { source, isContents }: PlannedSource & { readonly kind: "source" },
  target: RemotePath,
  isDirectory: boolean,
): Transfer {
  if (!isDirectory || isContents) return { kind: "transfer", source, target };
  const entry = remotePath(childPath(target.bytes, baseName(source.bytes)));
  return { kind: "transfer", source, target: entry };
}

const BOTH_IN_CLUSTER =
  "Both paths are in the cluster; `ashlar put` and `ashlar get` copy from and to this machine";

/** Parses a path of `mv` or `cp`. @throws {AshlarError} INVALID_ARGUMENT for a relative path */
function parseInCluster(argument: string): RemotePath {
  try {
    return parseRemotePath(argument);
  } catch (error) {
    if (!isAshlarError(error, "INVALID_ARGUMENT") || argument.startsWith("/")) throw error;
    throw withHint(error, BOTH_IN_CLUSTER);
  }
}

function noDirectory(target: RemotePath, doesExist: boolean): AshlarError {
  const code = doesExist ? "NOT_A_DIRECTORY" : "NOT_FOUND";
  const message = `${pathErrorMessage(code, target.text)} (a path in the cluster)`;
  if (doesExist) return new AshlarError(code, message);
  const isLocal = existsSync(Buffer.from(target.bytes));
  const hint = isLocal ? BOTH_IN_CLUSTER : `ashlar mkdir -p ${shellWord(target.bytes)}`;
  return new AshlarError(code, message, { hint });
}

function severalSources(): AshlarError {
  return new AshlarError(
    "INVALID_ARGUMENT",
    "Cannot use --no-target-directory: expected one source: current value is several sources",
  );
}

/** @throws {AshlarError} INVALID_ARGUMENT if a source is its own target */
export function requireOtherTarget(source: RemotePath, target: RemotePath): void {
  if (Buffer.compare(source.bytes, target.bytes) !== 0) return;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot use ${target.text} as a target: it is the same file as its source`,
  );
}
