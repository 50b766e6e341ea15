import { toHex } from "../../../shared/base/bytes.ts";
import { AshlarError } from "../../../shared/base/errors.ts";
import { pathErrorMessage } from "../../../shared/base/path-errors.ts";
import { formatCount, jsonName } from "../../../shared/display/format.ts";
import { bytesOfText, textOfBytes } from "../argument-text.ts";
import { formatChecksumLine, parseChecksumLine } from "../checksum-lines.ts";
import type { CommandContext, OptionValues, RunCommand } from "../command.ts";
import { forEachItem } from "../each-item.ts";
import { DamageFound, PartialFailure } from "../exit-status.ts";
import { readNames } from "../names-file.ts";
import { forEachPath } from "../patterns/expand-paths.ts";
import { parseExactPath, type RemotePath } from "../remote-paths.ts";

export const run: RunCommand = async (context, commandArguments, options) => {
  const sums = options["check"] as string | undefined;
  if (sums !== undefined) return checkSums(context, sums);
  if (commandArguments.length === 0) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      "Cannot compute a checksum: expected a path or --check FILE",
    );
  }
  await forEachPath(context, commandArguments, {
    glob: options["glob"] !== false,
    task: (path) => printSum(context, path, options),
  });
};

async function printSum(
  context: CommandContext,
  path: RemotePath,
  options: OptionValues,
): Promise<void> {
  const { output, signal } = context;
  const fileSystem = await context.fileSystem();
  if (options["root"] === true) {
    const attributes = await fileSystem.stat(path.bytes, { signal });
    if (attributes.kind === "directory") {
      throw new AshlarError("IS_A_DIRECTORY", pathErrorMessage("IS_A_DIRECTORY", path.text));
    }
    const root = toHex(attributes.contentRoot);
    if (!output.options.json) return printLine(context, root, path);
    return output.json("ashlar.checksum/1", {
      ...jsonName("path", path.bytes),
      content_root: root,
      size_bytes: attributes.sizeBytes,
    });
  }
  const sum = await fileSystem.checksum(path.bytes, { signal });
  if (!output.options.json) return printLine(context, sum.blake3, path);
  return output.json("ashlar.checksum/1", {
    ...jsonName("path", path.bytes),
    blake3: sum.blake3,
    content_root: sum.contentRoot,
    size_bytes: sum.sizeBytes,
  });
}

function printLine({ env, output }: CommandContext, hash: string, path: RemotePath): Promise<void> {
  const isForTerminal = env.stdout.isTTY === true;
  const line = formatChecksumLine({ hash, path: path.bytes }, { isForTerminal });
  return output.bytes(Buffer.concat([line, Buffer.from("\n")]));
}

/** Checks the lines of a file, as this command, b3sum and GNU coreutils print them. */
async function checkSums(context: CommandContext, file: string): Promise<void> {
  const lines = await readNames(context, file, false);
  let badCount = 0;
  try {
    await forEachItem(context, lines, async (line) => {
      if (!(await checkLine(context, bytesOfText(line)))) badCount += 1;
    });
  } catch (error) {
    // Damage is the more serious result. The other failures were reported when they occurred.
    if (!(error instanceof PartialFailure) || badCount === 0) throw error;
  }
  if (badCount > 0) throw new DamageFound(`${formatCount(badCount, "file")} with another checksum`);
}

/** Checks one file and prints the result. @returns whether it has the checksum of the line */
async function checkLine(context: CommandContext, line: Uint8Array): Promise<boolean> {
  const { output, signal } = context;
  const { hash, path: listed } = parseChecksumLine(line);
  const path = parseExactPath(textOfBytes(listed));
  const fileSystem = await context.fileSystem();
  const { blake3 } = await fileSystem.checksum(path.bytes, { signal });
  const isGood = blake3 === hash;
  if (output.options.json) {
    const names = jsonName("path", path.bytes);
    await output.json("ashlar.checksum-check/1", { ...names, ok: isGood, blake3 });
  } else await output.line(`${path.text}: ${isGood ? "OK" : "FAILED"}`);
  return isGood;
}
