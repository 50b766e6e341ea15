import { parseSizeBytes } from "../../shared/display/quantities.ts";
import type { ByteRange, FileHandle } from "../index.ts";
import type { CommandContext, OptionValues } from "./command.ts";
import { forEachItem, severalOf } from "./each-item.ts";
import type { ReadableEnd } from "./last-lines.ts";
import { invalidOptions, invalidValue } from "./parse-values.ts";
import { expandPaths } from "./patterns/expand-paths.ts";
import { readOptionsOf } from "./read-options.ts";

/** The part of each file that head and tail print: a number of lines or bytes. */
export interface PartSize {
  readonly unit: "lines" | "bytes";
  /** "": a part of this size. "-" of head: all but it. "+" of tail: from this line or byte on. */
  readonly sign: string;
  readonly count: number;
}

const LINES_DEFAULT = 10;
const LINE_END = 0x0a;
/** The beginning of a file is usually enough: less than the default is read ahead. */
const READ_AHEAD_BYTES = 1024 * 1024;

/**
 * Returns the part that -n or -c selects.
 *
 * @param specialSign the sign with a meaning of its own: "-" for head, "+" for tail
 * @throws {AshlarError} INVALID_ARGUMENT
 */
export function partSizeOf(options: OptionValues, specialSign: "-" | "+"): PartSize {
  const lines = options["lines"] as string | undefined;
  const bytes = options["bytes"] as string | undefined;
  if (lines !== undefined && bytes !== undefined) {
    throw invalidOptions("one of --lines and --bytes", "both");
  }
  const [, typedSign = "", size = ""] = /^([+-]?)(.*)$/s.exec(bytes ?? lines ?? "") ?? [];
  const sign = typedSign === specialSign ? typedSign : "";
  if (bytes !== undefined) return { unit: "bytes", sign, count: parseSizeBytes(size, "--bytes") };
  if (lines === undefined) return { unit: "lines", sign: "", count: LINES_DEFAULT };
  const count = Number(size);
  if (/^\d+$/.test(size) && Number.isSafeInteger(count)) return { unit: "lines", sign, count };
  throw invalidValue("--lines", `a number of lines, or ${specialSign}N`, lines);
}

/**
 * Calls `print` for each file of the arguments, and prints a heading before each of several files,
 * as head(1) does. Continues after a failure, as `forEachItem` does.
 */
export async function forEachFile(
  context: CommandContext,
  commandArguments: readonly string[],
  options: OptionValues,
  print: (file: FileHandle) => Promise<void>,
): Promise<void> {
  const { output } = context;
  const readOptions = await readOptionsOf(context, options);
  const fileSystem = await context.fileSystem();
  const glob = options["glob"] !== false;
  const paths = expandPaths(context, commandArguments, { glob, readOptions });
  const { quiet, verbosity } = output.options;
  const { items, isSeveral } = await severalOf(paths);
  const hasHeadings = !quiet && (isSeveral || verbosity > 0);
  let headingCount = 0;
  await forEachItem(context, items, async (found) => {
    if (found.kind === "failed") throw found.error;
    await using file = await fileSystem.open(found.path.bytes, "read", readOptions);
    if (hasHeadings) {
      await output.line(`${headingCount > 0 ? "\n" : ""}==> ${found.path.text} <==`);
      headingCount += 1;
    }
    await print(file);
  });
}

/** Prints a range of a file. */
export async function printRange(
  context: CommandContext,
  file: FileHandle,
  range: ByteRange,
): Promise<void> {
  for await (const slab of file.slabs({ ...range, signal: context.signal })) {
    try {
      await context.output.bytes(slab.bytes);
    } finally {
      slab.release();
    }
  }
}

/**
 * Returns the position of the first byte after the first `count` lines, or the size of the file if
 * it has at most `count` lines. Stops reading there; the reader may have read ahead.
 *
 * @param print receives the bytes of these lines. They may be reused after the promise resolves.
 */
export async function endOfFirstLines(
  { signal }: CommandContext,
  file: FileHandle,
  count: number,
  print: (bytes: Uint8Array) => Promise<void> = async () => {},
): Promise<number> {
  if (count === 0) return 0;
  let left = count;
  let position = 0;
  for await (const slab of file.slabs({ signal, readAheadBytesMax: READ_AHEAD_BYTES })) {
    try {
      const { bytes } = slab;
      for (let at = bytes.indexOf(LINE_END); at >= 0; at = bytes.indexOf(LINE_END, at + 1)) {
        left -= 1;
        if (left > 0) continue;
        await print(bytes.subarray(0, at + 1));
        return position + at + 1;
      }
      await print(bytes);
      position += bytes.length;
    } finally {
      slab.release();
    }
  }
  return position;
}

/** Returns the file for `startOfLastLines`. */
export function readableEnd({ signal }: CommandContext, file: FileHandle): ReadableEnd {
  const { sizeBytes } = file.attributes;
  return { sizeBytes, read: (range) => file.read(range, { signal }) };
}
