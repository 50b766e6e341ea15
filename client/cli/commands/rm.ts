import { AshlarError, isAshlarError } from "../../../shared/base/errors.ts";
import { pathErrorMessage } from "../../../shared/base/path-errors.ts";
import { formatCount, jsonName } from "../../../shared/display/format.ts";
import { shellWord } from "../../../shared/display/shell-word.ts";
import type { Attributes } from "../../../shared/protocol/attributes.ts";
import { historySpaceText } from "../cluster-space.ts";
import type { CommandContext, OptionValues, RunCommand } from "../command.ts";
import { confirm } from "../confirm.ts";
import { forEachItem } from "../each-item.ts";
import { expandPaths } from "../patterns/expand-paths.ts";
import { type RemotePath, refuseDotNames } from "../remote-paths.ts";

/** A question does not wait for the walk of a large tree: it counts up to this number. */
const COUNTED_MAX = 10_000;

export const run: RunCommand = async (context, commandArguments, options) => {
  refuseDotNames(commandArguments, "remove");
  const paths = expandPaths(context, commandArguments, { glob: options["glob"] !== false });
  await forEachItem(context, paths, async (found) => {
    try {
      if (found.kind === "failed") throw found.error;
      await removeOne(context, found.path, options);
    } catch (error) {
      if (options["force"] === true && isAshlarError(error, "NOT_FOUND")) return;
      throw error;
    }
  });
  if (options["dryRun"] !== true) await noteKeptSpace(context);
};

/** Says on a terminal that removed files still take space, if the cluster is full. */
async function noteKeptSpace({ output, fileSystem, signal }: CommandContext): Promise<void> {
  if (!output.isTerminal || output.options.quiet) return;
  // The paths are removed: a status that cannot be read is no failure of the command.
  const status = await (await fileSystem()).status({ signal }).catch(() => null);
  if (status?.health.isFull !== true) return;
  const text = historySpaceText(status);
  output.note(`the cluster is full${text === null ? "" : `: ${text}`}`);
}

async function removeOne(
  context: CommandContext,
  path: RemotePath,
  options: OptionValues,
): Promise<void> {
  const { output } = context;
  const isRemoved = (await removeUnseen(context, path, options)) === "removed";
  if (!isRemoved && !(await removeExamined(context, path, options))) return;
  if (output.options.json) await output.json("ashlar.rm/1", jsonName("path", path.bytes));
  else if (options["dryRun"] === true) await output.line(`would remove ${path.text}`);
  else output.detail(`removed ${path.text}`);
}

/**
 * Removes a path with one call if its kind decides nothing: a file without -r, and a directory with -r
 * and --yes.
 *
 * @returns "other" if the path has another kind, or if the user may have to be asked
 */
async function removeUnseen(
  { fileSystem, signal }: CommandContext,
  { bytes }: RemotePath,
  options: OptionValues,
): Promise<"removed" | "other"> {
  const isRecursive = options["recursive"] === true;
  const isAsked = isRecursive ? options["yes"] !== true : options["interactive"] === true;
  if (isAsked || options["dryRun"] === true) return "other";
  try {
    if (isRecursive) await (await fileSystem()).removeTree(bytes, { signal });
    else await (await fileSystem()).unlink(bytes, { signal });
    return "removed";
  } catch (error) {
    if (isAshlarError(error, isRecursive ? "NOT_A_DIRECTORY" : "IS_A_DIRECTORY")) return "other";
    throw error;
  }
}

/** Removes a path after a look at it. @returns false if the user answered no */
async function removeExamined(
  context: CommandContext,
  path: RemotePath,
  options: OptionValues,
): Promise<boolean> {
  const { signal } = context;
  const fileSystem = await context.fileSystem();
  const attributes = await fileSystem.stat(path.bytes, { signal });
  const isDirectory = attributes.kind === "directory";
  if (isDirectory && options["recursive"] !== true) {
    throw new AshlarError("IS_A_DIRECTORY", pathErrorMessage("IS_A_DIRECTORY", path.text), {
      hint: `ashlar rm -r ${shellWord(path.bytes)}`,
    });
  }
  if (options["dryRun"] === true) return true;
  if (!(await isConfirmed(context, { path, attributes, options }))) return false;
  if (!isDirectory) await fileSystem.unlink(path.bytes, { signal });
  // Without a question about its entries, a directory is removed only if it has none.
  else if (isTree(attributes) || options["yes"] === true) {
    await fileSystem.removeTree(path.bytes, { signal });
  } else await fileSystem.rmdir(path.bytes, { signal });
  return true;
}

/**
 * Returns whether a path may be removed. The user is asked about a directory that is not empty, and
 * with --interactive about each path. A file is removed without a question, as in rm(1).
 */
async function isConfirmed(
  context: CommandContext,
  what: {
    readonly path: RemotePath;
    readonly attributes: Attributes;
    readonly options: OptionValues;
  },
): Promise<boolean> {
  const { path, attributes, options } = what;
  if (options["yes"] === true) return true;
  const hasEntries = isTree(attributes);
  if (!hasEntries && options["interactive"] !== true) return true;
  const question = hasEntries
    ? `Remove ${path.text} and everything in it (${await contentsOf(context, path)})?`
    : `Remove ${path.text}?`;
  return confirm(context, question);
}

/** Returns the number of entries below a directory, for a question: "12 entries". */
async function contentsOf(
  { fileSystem, signal }: CommandContext,
  path: RemotePath,
): Promise<string> {
  let count = 0;
  for await (const _ of (await fileSystem()).walk(path.bytes, { signal })) {
    if (count === COUNTED_MAX) return `more than ${COUNTED_MAX} entries`;
    count += 1;
  }
  return formatCount(count, "entry", "entries");
}

const isTree = (attributes: Attributes): boolean =>
  attributes.kind === "directory" && attributes.entryCount > 0;
