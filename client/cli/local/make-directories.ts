import { isAshlarError } from "../../../shared/base/errors.ts";
import type { CommandContext } from "../command.ts";
import type { RemotePath } from "../remote-paths.ts";

const SLASH = 0x2f;

/** A directory to make in the cluster. */
export interface NewDirectory {
  readonly target: RemotePath;
  readonly mode: number;
}

/** Result for one directory. `existed`: the name is in use, by a directory or by a file. */
export type MadeDirectory =
  | { readonly kind: "made" }
  | { readonly kind: "existed" }
  | { readonly kind: "failed"; readonly error: unknown };

const MADE: MadeDirectory = { kind: "made" };

/**
 * Makes directories with one transaction. If that is refused, because one of them exists for example,
 * each is made by itself, those of one depth at the same time.
 *
 * @param directories parents before their entries
 * @returns one result for each. Rejects only if the command was stopped.
 */
export async function makeDirectories(
  context: CommandContext,
  directories: readonly NewDirectory[],
): Promise<readonly MadeDirectory[]> {
  const { signal } = context;
  if (directories.length > 1) {
    const transaction = (await context.fileSystem()).transaction();
    for (const { target, mode } of directories) transaction.mkdir(target.bytes, { mode });
    try {
      await transaction.commit({ signal });
      return directories.map(() => MADE);
    } catch (error) {
      if (signal.aborted) throw error;
    }
  }
  return makeEach(context, directories);
}

async function makeEach(
  context: CommandContext,
  directories: readonly NewDirectory[],
): Promise<readonly MadeDirectory[]> {
  const depths = directories.map(({ target }) => depthOf(target.bytes));
  const results: MadeDirectory[] = directories.map(() => MADE);
  for (const depth of [...new Set(depths)].sort((left, right) => left - right)) {
    const makeAt = async (directory: NewDirectory, position: number): Promise<void> => {
      if (depths[position] === depth) results[position] = await makeOne(context, directory);
    };
    await Promise.all(directories.map(makeAt));
  }
  return results;
}

async function makeOne(
  context: CommandContext,
  { target, mode }: NewDirectory,
): Promise<MadeDirectory> {
  const { signal } = context;
  const fileSystem = await context.fileSystem();
  try {
    await fileSystem.mkdir(target.bytes, { mode, signal });
    return MADE;
  } catch (error) {
    if (signal.aborted) throw error;
    return isAshlarError(error, "ALREADY_EXISTS") ? { kind: "existed" } : { kind: "failed", error };
  }
}

const depthOf = (path: Uint8Array): number =>
  path.reduce((count, byte) => (byte === SLASH ? count + 1 : count), 0);
