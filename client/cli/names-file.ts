import { textOfBytes } from "./argument-text.ts";
import { readInput } from "./local/read-input.ts";
import type { InputContext } from "./local/standard-input.ts";

const LINE_END = 0x0a;
const NUL = 0;

/**
 * Reads names from a file (`-` for standard input): one per line, or each terminated by NUL as
 * `find -print0` writes them. Empty names are skipped.
 *
 * @throws {AshlarError} as `readInput`
 */
export async function readNames(
  context: InputContext,
  file: string,
  isNulSeparated: boolean,
): Promise<string[]> {
  const bytes = await readInput(context, file);
  const names: string[] = [];
  let start = 0;
  for (let end = 0; end <= bytes.length; end += 1) {
    if (end < bytes.length && bytes[end] !== (isNulSeparated ? NUL : LINE_END)) continue;
    if (end > start) names.push(textOfBytes(bytes.subarray(start, end)));
    start = end + 1;
  }
  return names;
}
