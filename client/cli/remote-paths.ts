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

/** A path in the cluster, and how it is shown. */
export interface RemotePath {
  readonly bytes: Uint8Array;
  /** For people: unambiguous, on one line. */
  readonly text: string;
}

export function remotePath(bytes: Uint8Array): RemotePath {
  return { bytes, text: displayName(bytes) };
}

/**
 * The path that an argument names. `ashlar:/a` says the same as `/a`.
 *
 * @throws {AshlarError} INVALID_ARGUMENT if it is not absolute
 */
export function parseRemotePath(argument: string): RemotePath {
  const bytes = bytesOfText(argument);
  const path = argument.startsWith(SCHEME) ? bytes.subarray(SCHEME.length) : bytes;
  return remotePath(joinPath(parsePath(path)));
}

/** Whether the argument ended with a slash: a directory is meant. */
export function hasTrailingSlash(argument: string): boolean {
  return argument.endsWith("/");
}

/** `directory`/`name` as bytes. */
export function childPath(directory: Uint8Array, name: Uint8Array): Uint8Array {
  const isRoot = directory.length === 1;
  const path = new Uint8Array((isRoot ? 0 : directory.length) + 1 + name.length);
  if (!isRoot) path.set(directory);
  path[path.length - name.length - 1] = 0x2f;
  path.set(name, path.length - name.length);
  return path;
}

/** The last name of a path; empty for the root. */
export function baseName(path: Uint8Array): Uint8Array {
  return path.subarray(path.lastIndexOf(0x2f) + 1);
}

/**
 * The paths that the arguments name, with globs (`*`, `?`, `[…]`, `{a,b}`, `**`) expanded in the
 * cluster, each in byte order. What matches nothing is taken as it is written if that is there.
 *
 * @throws {AshlarError} NOT_FOUND if a glob matches nothing, as a shell with `failglob`
 */
export async function* expandPaths(
  context: CommandContext,
  commandArguments: readonly string[],
  options: { readonly glob: boolean; readonly look?: ReadOptions },
): AsyncGenerator<RemotePath> {
  const look = options.look ?? { signal: context.signal };
  for (const argument of commandArguments) {
    const path = parseRemotePath(argument);
    if (!options.glob || !GLOB_CHARACTERS.test(argument)) {
      yield path;
      continue;
    }
    const fileSystem = await context.fileSystem();
    let matchCount = 0;
    for await (const match of expandGlob(fileSystem, textOfBytes(path.bytes), look)) {
      matchCount += 1;
      yield match;
    }
    if (matchCount > 0) continue;
    if (await exists(fileSystem, path.bytes, look)) yield path;
    else {
      throw new AshlarError("NOT_FOUND", `Cannot find anything that matches ${path.text}`, {
        hint: "--no-glob takes the name as it is",
      });
    }
  }
}

/** Matches below the deepest directory that the pattern names without wildcards. */
async function* expandGlob(
  fileSystem: FileSystem,
  pattern: string,
  look: ReadOptions,
): AsyncGenerator<RemotePath> {
  const names = pattern.split("/").slice(1);
  const fixedCount = names.findIndex((name) => GLOB_CHARACTERS.test(name) || name.includes("\\"));
  const base = bytesOfText(`/${names.slice(0, fixedCount).join("/")}`);
  // "**" matches any depth, and braces may hold slashes.
  const isAnyDepth = names.includes("**") || /\{[^}]*\//.test(pattern);
  // Names may hold line ends, which "." of a regular expression passes over without the flag s.
  const isMatch = picomatch(pattern, { dot: true, flags: "s" });
  const depthMax = names.length - fixedCount;
  const entries = fileSystem.walk(base, { ...look, ...(isAnyDepth ? {} : { depthMax }) });
  for await (const entry of entries) {
    const isDeepEnough = isAnyDepth || entry.depth === depthMax;
    if (isDeepEnough && isMatch(textOfBytes(entry.path))) yield remotePath(entry.path);
  }
}
