import type { RunCommand } from "../command.ts";
import {
  endOfFirstLines,
  forEachFile,
  partSizeOf,
  printRange,
  readableEnd,
} from "../file-parts.ts";
import { startOfLastLines } from "../last-lines.ts";

export const run: RunCommand = async (context, commandArguments, options) => {
  const { output } = context;
  const { unit, sign, count } = partSizeOf(options, "-");
  await forEachFile(context, commandArguments, options, async (file) => {
    if (unit === "lines" && sign === "") {
      await endOfFirstLines(context, file, count, (bytes) => output.bytes(bytes));
      return;
    }
    const { sizeBytes } = file.attributes;
    let end = count;
    if (unit === "lines") end = await startOfLastLines(count, readableEnd(context, file));
    else if (sign === "-") end = Math.max(0, sizeBytes - count);
    await printRange(context, file, { start: 0, end });
  });
};
