import picomatch from "picomatch";
import { AshlarError } from "../../shared/base/errors.ts";
import { displayName, joinPath, parsePath } from "../../shared/base/path.ts";
import type { FileSystem } from "../file-system.ts";
import type { CommandContext } from "./command.ts";

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
export function parseRemotePath(context: CommandContext, argument: string): RemotePath {
  const bytes = context.bytesOf(argument);
  const path = argument.startsWith(SCHEME) ? bytes.subarray(SCHEME.length) : bytes;
  return remotePath(joinPath(parsePath(path)));
}

/** Whether the argument ended with a slash: a directory is meant. */
export function namesDirectory(argument: string): boolean {
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
 * cluster, each in byte order.
 *
 * @throws {AshlarError} NOT_FOUND if a glob matches nothing, as a shell with `failglob`
 */
export async function* expandPaths(
  context: CommandContext,
  commandArguments: readonly string[],
  options: { readonly glob: boolean },
): AsyncGenerator<RemotePath> {
  for (const argument of commandArguments) {
    const path = parseRemotePath(context, argument);
    if (!options.glob || !GLOB_CHARACTERS.test(argument)) {
      yield path;
      continue;
    }
    let matchCount = 0;
    for await (const match of expandGlob(await context.fileSystem(), path.text, context.signal)) {
      matchCount += 1;
      yield match;
    }
    if (matchCount > 0) continue;
    throw new AshlarError("NOT_FOUND", `Cannot find anything that matches ${argument}`, {
      hint: "--no-glob takes the name as it is",
    });
  }
}

/** Matches below the deepest directory that the pattern names without wildcards. */
async function* expandGlob(
  fileSystem: FileSystem,
  pattern: string,
  signal: AbortSignal,
): AsyncGenerator<RemotePath> {
  const names = pattern.split("/").slice(1);
  const fixedCount = names.findIndex((name) => GLOB_CHARACTERS.test(name));
  const base = `/${names.slice(0, fixedCount).join("/")}`;
  const hasGlobstar = names.includes("**");
  const isMatch = picomatch(pattern, { dot: true });
  const depthMax = names.length - fixedCount;
  const entries = fileSystem.walk(base, { signal, ...(hasGlobstar ? {} : { depthMax }) });
  for await (const entry of entries) {
    const path = remotePath(entry.path);
    if ((hasGlobstar || entry.depth === depthMax) && isMatch(path.text)) yield path;
  }
}
