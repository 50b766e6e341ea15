import picomatch from "picomatch";
import { AshlarError } from "../../shared/base/errors.ts";
import { displayName, joinPath, parsePath } from "../../shared/base/path.ts";
import type { FileSystem } from "../file-system.ts";
import type { ReadOptions } from "../options.ts";
import { bytesOfText, textOfBytes } from "./argument-text.ts";
import type { CommandContext } from "./command.ts";
import { exists } from "./exists.ts";

const SCHEME = "ashlar:";
const GLOB_CHARACTERS = /[*?[\]{}]/;

/** A path in the cluster. */
export interface RemotePath {
  readonly bytes: Uint8Array;
  /** The path as `displayName` shows it. */
  readonly text: string;
}

/** Returns the path of `bytes`. The bytes must be a valid absolute path. */
export function remotePath(bytes: Uint8Array): RemotePath {
  return { bytes, text: displayName(bytes) };
}

/**
 * Parses an argument as a path in the cluster. `ashlar:/a` and `/a` are the same path.
 *
 * @throws {AshlarError} INVALID_ARGUMENT if it is not absolute
 */
export function parseRemotePath(argument: string): RemotePath {
  const bytes = bytesOfText(argument);
  const path = argument.startsWith(SCHEME) ? bytes.subarray(SCHEME.length) : bytes;
  return remotePath(joinPath(parsePath(path)));
}

/** Returns whether an argument ends with a slash, which means a directory. */
export function hasTrailingSlash(argument: string): boolean {
  return argument.endsWith("/");
}

/** Returns `directory`/`name`. */
export function childPath(directory: Uint8Array, name: Uint8Array): Uint8Array {
  const isRoot = directory.length === 1;
  const path = new Uint8Array((isRoot ? 0 : directory.length) + 1 + name.length);
  if (!isRoot) path.set(directory);
  path[path.length - name.length - 1] = 0x2f;
  path.set(name, path.length - name.length);
  return path;
}

/** Returns the last name of a path; empty for the root. */
export function baseName(path: Uint8Array): Uint8Array {
  return path.subarray(path.lastIndexOf(0x2f) + 1);
}

/**
 * Yields the paths of the arguments. A pattern (`*`, `?`, `[…]`, `{a,b}`, `**`) yields its matches
 * in the cluster in byte order. A pattern without matches yields the path of that literal name, if
 * it exists.
 *
 * @throws {AshlarError} NOT_FOUND if a pattern matches nothing, as bash does with `failglob`
 */
export async function* expandPaths(
  context: CommandContext,
  commandArguments: readonly string[],
  options: { readonly glob: boolean; readonly readOptions?: ReadOptions },
): AsyncGenerator<RemotePath> {
  const { readOptions = { signal: context.signal } } = options;
  for (const argument of commandArguments) {
    const path = parseRemotePath(argument);
    if (!options.glob || !GLOB_CHARACTERS.test(argument)) {
      yield path;
      continue;
    }
    const fileSystem = await context.fileSystem();
    let matchCount = 0;
    for await (const match of expandGlob(fileSystem, textOfBytes(path.bytes), readOptions)) {
      matchCount += 1;
      yield match;
    }
    if (matchCount > 0) continue;
    if (await exists(fileSystem, path.bytes, readOptions)) yield path;
    else {
      throw new AshlarError("NOT_FOUND", `No match in the cluster: ${path.text}`, {
        hint: "--no-glob turns patterns off",
      });
    }
  }
}

/** Yields the matches of a pattern. The walk begins at its deepest directory without wildcards. */
async function* expandGlob(
  fileSystem: FileSystem,
  pattern: string,
  readOptions: ReadOptions,
): AsyncGenerator<RemotePath> {
  const names = pattern.split("/").slice(1);
  const fixedCount = names.findIndex((name) => GLOB_CHARACTERS.test(name) || name.includes("\\"));
  const base = bytesOfText(`/${names.slice(0, fixedCount).join("/")}`);
  // "**" matches any depth, and braces can contain slashes.
  const isAnyDepth = names.includes("**") || /\{[^}]*\//.test(pattern);
  // Names can contain line ends. Without the flag s, "." does not match them.
  const isMatch = picomatch(pattern, { dot: true, flags: "s" });
  const depthMax = names.length - fixedCount;
  const entries = fileSystem.walk(base, { ...readOptions, ...(isAnyDepth ? {} : { depthMax }) });
  for await (const entry of entries) {
    const isDeepEnough = isAnyDepth || entry.depth === depthMax;
    if (isDeepEnough && isMatch(textOfBytes(entry.path))) yield remotePath(entry.path);
  }
}
