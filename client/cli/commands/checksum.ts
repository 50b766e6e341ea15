import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { toHex } from "../../../shared/base/bytes.ts";
import { AshlarError } from "../../../shared/base/errors.ts";
import { pathErrorMessage } from "../../../shared/base/path-errors.ts";
import { formatCount, jsonName } from "../../../shared/display/format.ts";
import { type CliEnv, systemPathOf } from "../cli-env.ts";
import type { CommandContext, OptionValues, RunCommand } from "../command.ts";
import { forEachItem } from "../each-item.ts";
import { DamageFound } from "../exit-status.ts";
import { forEachPath } from "../patterns/expand-paths.ts";
import { parseRemotePath, type RemotePath } from "../remote-paths.ts";

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
    if (!output.options.json) return output.line(`${root}  ${path.text}`);
    return output.json("ashlar.checksum/1", {
      ...jsonName("path", path.bytes),
      content_root: root,
      size_bytes: attributes.sizeBytes,
    });
  }
  const sum = await fileSystem.checksum(path.bytes, { signal });
  if (!output.options.json) return output.line(`${sum.blake3}  ${path.text}`);
  return output.json("ashlar.checksum/1", {
    ...jsonName("path", path.bytes),
    blake3: sum.blake3,
    content_root: sum.contentRoot,
    size_bytes: sum.sizeBytes,
  });
}

/** Checks the lines "HEX  PATH" of a file, as this command and b3sum print them. */
async function checkSums(context: CommandContext, file: string): Promise<void> {
  const { output, signal } = context;
  const fileSystem = await context.fileSystem();
  const lines = (await readSums(context.env, file)).split("\n").filter((line) => line !== "");
  let badCount = 0;
  await forEachItem(context, lines, async (line) => {
    const match = /^([0-9a-f]{64}) [ *](.+)$/.exec(line);
    if (match === null) {
      throw new AshlarError(
        "INVALID_ARGUMENT",
        `Cannot read a line of ${file}: expected "HEX  PATH": current value is "${line.slice(0, 100)}"`,
      );
    }
    const [, expected, name = ""] = match;
    const path = parseRemotePath(name);
    const { blake3 } = await fileSystem.checksum(path.bytes, { signal });
    const isGood = blake3 === expected;
    if (!isGood) badCount += 1;
    if (output.options.json) {
      await output.json("ashlar.checksum-check/1", {
        ...jsonName("path", path.bytes),
        ok: isGood,
        blake3,
      });
    } else await output.line(`${path.text}: ${isGood ? "OK" : "FAILED"}`);
  });
  if (badCount > 0) throw new DamageFound(`${formatCount(badCount, "file")} with another checksum`);
}

async function readSums(env: CliEnv, file: string): Promise<string> {
  if (file === "-") return text(env.stdin);
  try {
    return await readFile(systemPathOf(env, file), "utf8");
  } catch (error) {
    throw new AshlarError("INVALID_ARGUMENT", `Cannot read ${file}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
