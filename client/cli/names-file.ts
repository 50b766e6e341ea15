import { readFile } from "node:fs/promises";
import { buffer } from "node:stream/consumers";
import { AshlarError } from "../../shared/base/errors.ts";
import { textOfBytes } from "./argument-text.ts";
import { type CliEnv, systemPathOf } from "./cli-env.ts";

const LINE_END = 0x0a;
const NUL = 0;

/**
 * Reads names from a file (`-` for standard input): one per line, or each terminated by NUL as
 * `find -print0` writes them. Empty names are skipped.
 *
 * @throws {AshlarError} INVALID_ARGUMENT if the file cannot be read
 */
export async function readNames(
  env: CliEnv,
  file: string,
  isNulSeparated: boolean,
): Promise<string[]> {
  const bytes = await readAll(env, file);
  const names: string[] = [];
  let start = 0;
  for (let end = 0; end <= bytes.length; end += 1) {
    if (end < bytes.length && bytes[end] !== (isNulSeparated ? NUL : LINE_END)) continue;
    if (end > start) names.push(textOfBytes(bytes.subarray(start, end)));
    start = end + 1;
  }
  return names;
}

async function readAll(env: CliEnv, file: string): Promise<Uint8Array> {
  try {
    return file === "-" ? await buffer(env.stdin) : await readFile(systemPathOf(env, file));
  } catch (cause) {
    const problem = (cause as Error).message;
    throw new AshlarError("INVALID_ARGUMENT", `Cannot read names from ${file}: ${problem}`, {
      cause,
    });
  }
}
