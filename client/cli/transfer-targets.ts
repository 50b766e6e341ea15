import { AshlarError } from "../../shared/base/errors.ts";
import { pathErrorMessage } from "../../shared/base/path-errors.ts";
import type { CommandContext } from "./command.ts";
import { statOrNull } from "./exists.ts";
import {
  baseName,
  childPath,
  expandPaths,
  hasTrailingSlash,
  parseRemotePath,
  type RemotePath,
  remotePath,
} from "./remote-paths.ts";

/** One source and where exactly it goes. */
export interface Transfer {
  readonly source: RemotePath;
  readonly target: RemotePath;
}

/** The sources and the target of `mv a b`, `mv a b dir/`. @throws {AshlarError} INVALID_ARGUMENT */
export function splitTarget(commandArguments: readonly string[]): {
  readonly sources: readonly string[];
  readonly target: string;
} {
  const target = commandArguments.at(-1);
  if (target === undefined || commandArguments.length < 2) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot tell the target: expected a source and a target: got ${commandArguments.length} argument`,
    );
  }
  return { sources: commandArguments.slice(0, -1), target };
}

/**
 * Where each source goes, by the rules of cp(1) and mv(1): into the target if that is a directory,
 * else to the target itself, which then takes one source only.
 *
 * @throws {AshlarError} NOT_A_DIRECTORY if several sources, or a target with a slash, need one
 */
export async function* remoteTransfers(
  context: CommandContext,
  commandArguments: readonly string[],
  options: { readonly glob: boolean },
): AsyncGenerator<Transfer> {
  const { sources, target: targetText } = splitTarget(commandArguments);
  const fileSystem = await context.fileSystem();
  const target = parseRemotePath(targetText);
  const found = await statOrNull(fileSystem, target.bytes, { signal: context.signal });
  const isDirectory = found?.kind === "directory";
  let count = 0;
  const paths = expandPaths(context, sources, options);
  // One source ahead: nothing is moved before it is known whether there are several.
  let pending: RemotePath | null = null;
  for await (const source of paths) {
    count += 1;
    const needsDirectory = count > 1 || hasTrailingSlash(targetText);
    if (needsDirectory && !isDirectory) {
      throw new AshlarError("NOT_A_DIRECTORY", pathErrorMessage("NOT_A_DIRECTORY", target.text), {
        hint: `ashlar mkdir -p ${target.text}`,
      });
    }
    if (pending !== null) yield toTransfer(pending, target, isDirectory);
    pending = source;
  }
  if (pending !== null) yield toTransfer(pending, target, isDirectory);
}

function toTransfer(source: RemotePath, target: RemotePath, isDirectory: boolean): Transfer {
  if (!isDirectory) return { source, target };
  return { source, target: remotePath(childPath(target.bytes, baseName(source.bytes))) };
}
