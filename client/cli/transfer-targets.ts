import { AshlarError } from "../../shared/base/errors.ts";
import { pathErrorMessage } from "../../shared/base/path-errors.ts";
import { formatCount } from "../../shared/display/format.ts";
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

/** One source and its own target. */
export interface Transfer {
  readonly source: RemotePath;
  readonly target: RemotePath;
}

/**
 * Splits the arguments of `mv a b` or `mv a b dir/` into the sources and the target.
 *
 * @throws {AshlarError} INVALID_ARGUMENT for fewer than two arguments
 */
export function splitTarget(commandArguments: readonly string[]): {
  readonly sources: readonly string[];
  readonly target: string;
} {
  const target = commandArguments.at(-1);
  if (target === undefined || commandArguments.length < 2) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot use the arguments: expected a source and a target: current value is ${formatCount(commandArguments.length, "argument")}`,
    );
  }
  return { sources: commandArguments.slice(0, -1), target };
}

/**
 * Yields the target of each source by the rules of cp(1) and mv(1): an entry of the target if that
 * is a directory, else the target itself, which then takes one source only.
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
  // Reads one source ahead: nothing moves before it is known whether there are several sources.
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
