import { AshlarError } from "../../../shared/base/errors.ts";
import { isWithin, parsePath } from "../../../shared/base/path.ts";
import { pathErrorMessage } from "../../../shared/base/path-errors.ts";
import { jsonName } from "../../../shared/display/format.ts";
import type { FileSystem } from "../../file-system.ts";
import type { CommandContext, OptionValues, RunCommand } from "../command.ts";
import { forEachItem } from "../each-item.ts";
import { remotePath } from "../remote-paths.ts";
import { remoteTransfers, splitTarget, type Transfer } from "../transfer-targets.ts";

export const run: RunCommand = async (context, commandArguments, options) => {
  splitTarget(commandArguments); // Checks the usage before the connection is made.
  const fileSystem = await context.fileSystem();
  const transfers = remoteTransfers(context, commandArguments, { glob: options["glob"] !== false });
  await forEachItem(context, transfers, async (transfer) => {
    const attributes = await fileSystem.stat(transfer.source.bytes, { signal: context.signal });
    if (attributes.kind === "file") await copyFile(context, fileSystem, transfer, options);
    else await copyTree(context, fileSystem, transfer, options);
  });
};

async function copyFile(
  context: CommandContext,
  fileSystem: FileSystem,
  { source, target }: Transfer,
  options: OptionValues,
): Promise<void> {
  await fileSystem.copy(source.bytes, target.bytes, {
    replace: options["clobber"] !== false,
    preserve: options["preserve"] === true,
    signal: context.signal,
  });
  context.output.detail(`${source.text} -> ${target.text}`);
  if (!context.output.options.json) return;
  await context.output.json("ashlar.cp/1", {
    ...jsonName("from", source.bytes),
    ...jsonName("to", target.bytes),
  });
}

/**
 * Copies a tree: directories are made on the way, each file is copied by reference in one log
 * entry.
 */
async function copyTree(
  context: CommandContext,
  fileSystem: FileSystem,
  { source, target }: Transfer,
  options: OptionValues,
): Promise<void> {
  const { signal } = context;
  if (options["recursive"] !== true) {
    throw new AshlarError("IS_A_DIRECTORY", pathErrorMessage("IS_A_DIRECTORY", source.text), {
      hint: `ashlar cp -r ${source.text} ${target.text}`,
    });
  }
  if (isWithin(parsePath(target.bytes), parsePath(source.bytes))) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot copy ${source.text}: expected a target outside the directory: current value is ${target.text}`,
    );
  }
  await fileSystem.mkdir(target.bytes, { parents: true, signal });
  const prefixLength = source.bytes.length === 1 ? 0 : source.bytes.length;
  const entries = fileSystem.walk(source.bytes, { signal });
  await forEachItem(context, entries, async (entry) => {
    const below = entry.path.subarray(prefixLength);
    const copy = remotePath(Buffer.concat([target.bytes, below]));
    if (entry.attributes.kind === "directory") {
      await fileSystem.mkdir(copy.bytes, { parents: true, mode: entry.attributes.mode, signal });
    } else {
      await copyFile(
        context,
        fileSystem,
        { source: remotePath(entry.path), target: copy },
        options,
      );
    }
  });
}
