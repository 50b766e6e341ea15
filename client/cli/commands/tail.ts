import type { FileHandle } from "../../index.ts";
import type { CommandContext, RunCommand } from "../command.ts";
import {
  endOfFirstLines,
  forEachFile,
  type PartSize,
  partSizeOf,
  printRange,
  readableEnd,
} from "../file-parts.ts";
import { startOfLastLines } from "../last-lines.ts";

export const run: RunCommand = async (context, commandArguments, options) => {
  const part = partSizeOf(options, "+");
  await forEachFile(context, commandArguments, options, async (file) => {
    await printRange(context, file, { start: await startOf(context, file, part) });
  });
};

async function startOf(
  context: CommandContext,
  file: FileHandle,
  { unit, sign, count }: PartSize,
): Promise<number> {
  const { sizeBytes } = file.attributes;
  const skipped = Math.max(0, count - 1); // "+1" is the first line or byte, and so is "+0".
  if (unit === "bytes") {
    return sign === "+" ? Math.min(skipped, sizeBytes) : Math.max(0, sizeBytes - count);
  }
  return sign === "+"
    ? endOfFirstLines(context, file, skipped)
    : startOfLastLines(count, readableEnd(context, file));
}
