import { AshlarError, isAshlarError } from "../../../shared/base/errors.ts";
import { pathErrorMessage } from "../../../shared/base/path-errors.ts";
import type { FileSystem } from "../../file-system.ts";
import type { ReadOptions } from "../../options.ts";
import { bytesOfText } from "../argument-text.ts";
import type { CommandContext } from "../command.ts";
import { forEachItem } from "../each-item.ts";
import {
  childPath,
  parseRemotePath,
  type RemotePath,
  remotePath,
  withoutScheme,
} from "../remote-paths.ts";
import { findMatches } from "./find-matches.ts";
import {
  hasWildcards,
  type PathPattern,
  parsePattern,
  plainNameOf,
  typedNames,
} from "./pattern.ts";

/** A path of an argument, or the failure of an argument: the other arguments are not affected. */
export type ExpandedPath =
  | { readonly kind: "path"; readonly path: RemotePath }
  | { readonly kind: "failed"; readonly error: unknown };

/** Options of `expandPaths`. */
export interface ExpandOptions {
  /** Whether arguments are patterns: false with --no-glob. */
  readonly glob: boolean;
  readonly readOptions?: ReadOptions;
}

/**
 * Yields the paths of the arguments, in their order. A pattern (docs/cli.md, "Patterns") yields its
 * matches in the cluster in byte order. The leading names of a pattern that exist as they were typed
 * are taken literally. A pattern without a match yields the failure NOT_FOUND; an argument that
 * ends with a slash and names a file yields NOT_A_DIRECTORY.
 *
 * @throws {AshlarError} INVALID_ARGUMENT at once if any argument is not an absolute path or a
 *   pattern, before the first path is yielded
 */
export function expandPaths(
  context: CommandContext,
  commandArguments: readonly string[],
  options: ExpandOptions,
): AsyncGenerator<ExpandedPath> {
  const { glob, readOptions = { signal: context.signal } } = options;
  const expansions = commandArguments.map((text) => parseArgument(text, glob));
  return expandAll(context, expansions, readOptions);
}

/**
 * Runs `task` for each path of the arguments, and continues after a failure, as `forEachItem` does.
 *
 * @throws as `expandPaths` and `forEachItem` do
 */
export async function forEachPath(
  context: CommandContext,
  commandArguments: readonly string[],
  options: ExpandOptions & { readonly task: (path: RemotePath) => Promise<void> },
): Promise<void> {
  await forEachItem(context, expandPaths(context, commandArguments, options), async (found) => {
    if (found.kind === "failed") throw found.error;
    await options.task(found.path);
  });
}

/** An argument: a path, or a pattern as its names. */
type Argument =
  | { readonly kind: "path"; readonly path: RemotePath; readonly isDirectory: boolean }
  | {
      readonly kind: "pattern";
      readonly text: string;
      readonly names: readonly string[];
      readonly isDirectory: boolean;
    };

function parseArgument(argument: string, glob: boolean): Argument {
  const text = withoutScheme(argument);
  // `d/.` is an entry of a directory.
  const isDirectory = /[^/]\/+\.?$/.test(text);
  if (glob && text.startsWith("/") && hasWildcards(text)) {
    const names = typedNames(text);
    if (!isPlain(parsePattern(`/${names.join("/")}`))) {
      return { kind: "pattern", text, names, isDirectory };
    }
  }
  return { kind: "path", path: parseRemotePath(argument), isDirectory };
}

/** Returns whether the patterns are one path without wildcards, such as `/a[b`. */
function isPlain(patterns: readonly PathPattern[]): boolean {
  const [pattern] = patterns;
  return (
    patterns.length === 1 && pattern?.names.every((name) => plainNameOf(name) !== null) === true
  );
}

async function* expandAll(
  context: CommandContext,
  expansions: readonly Argument[],
  readOptions: ReadOptions,
): AsyncGenerator<ExpandedPath> {
  for (const argument of expansions) {
    try {
      for await (const path of pathsOf(context, argument, readOptions))
        yield { kind: "path", path };
    } catch (error) {
      if (context.signal.aborted) throw error;
      yield { kind: "failed", error };
    }
  }
}

async function* pathsOf(
  context: CommandContext,
  argument: Argument,
  readOptions: ReadOptions,
): AsyncGenerator<RemotePath> {
  if (argument.kind === "pattern") {
    yield* matchesOf(await context.fileSystem(), argument, readOptions);
    return;
  }
  const { path, isDirectory } = argument;
  if (isDirectory) await requireDirectory(await context.fileSystem(), path, readOptions);
  yield path;
}

async function* matchesOf(
  fileSystem: FileSystem,
  argument: Argument & { readonly kind: "pattern" },
  readOptions: ReadOptions,
): AsyncGenerator<RemotePath> {
  const { base, names } = await splitAtPattern(fileSystem, argument.names, readOptions);
  if (names.length === 0) {
    if (argument.isDirectory) await requireDirectory(fileSystem, remotePath(base), readOptions);
    yield remotePath(base);
    return;
  }
  const patterns = parsePattern(`/${names.join("/")}${argument.isDirectory ? "/" : ""}`);
  let matchCount = 0;
  for await (const path of findMatches({ fileSystem, readOptions }, base, patterns)) {
    matchCount += 1;
    yield remotePath(path);
  }
  if (matchCount > 0) return;
  throw new AshlarError(
    "NOT_FOUND",
    `No match in the cluster: ${remotePath(bytesOfText(argument.text)).text}`,
    { hint: "--no-glob turns patterns off" },
  );
}

/**
 * Splits the typed names into a path and the names of the pattern below it. Names without wildcards
 * belong to the path, and so do names with wildcards that exist as they were typed.
 */
async function splitAtPattern(
  fileSystem: FileSystem,
  names: readonly string[],
  readOptions: ReadOptions,
): Promise<{ readonly base: Uint8Array; readonly names: readonly string[] }> {
  let base: Uint8Array = bytesOfText("/");
  for (const [index, name] of names.entries()) {
    const below = childPath(base, bytesOfText(name));
    const isPath = !hasWildcards(name) || (await isTypedName(fileSystem, below, readOptions));
    if (!isPath) return { base, names: names.slice(index) };
    base = below;
  }
  return { base, names: [] };
}

/** Returns whether a path exists. A pattern can be longer than a name. */
async function isTypedName(
  fileSystem: FileSystem,
  path: Uint8Array,
  readOptions: ReadOptions,
): Promise<boolean> {
  try {
    return await fileSystem.exists(path, readOptions);
  } catch (error) {
    if (isAshlarError(error, "NOT_A_DIRECTORY") || isAshlarError(error, "NAME_TOO_LONG")) {
      return false;
    }
    throw error;
  }
}

/** @throws {AshlarError} NOT_FOUND, NOT_A_DIRECTORY */
async function requireDirectory(
  fileSystem: FileSystem,
  path: RemotePath,
  readOptions: ReadOptions,
): Promise<void> {
  const { kind } = await fileSystem.stat(path.bytes, readOptions);
  if (kind === "directory") return;
  throw new AshlarError("NOT_A_DIRECTORY", pathErrorMessage("NOT_A_DIRECTORY", path.text));
}
