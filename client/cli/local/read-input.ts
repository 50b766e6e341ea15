import { AshlarError, isAshlarError } from "../../../shared/base/errors.ts";
import { errnoWords } from "../../../shared/platform/errno-words.ts";
import { readWholeFile } from "../../../shared/platform/readable-file.ts";
import { LocalPath } from "../local-path.ts";
import { type InputContext, standardInput } from "./standard-input.ts";

/** Largest file of names, sums or operations. A million names of 250 bytes. */
const INPUT_BYTES_MAX = 256 * 1024 * 1024;

/**
 * Reads the whole of a file that tells a command what to do: names, sums, operations. `-` is
 * standard input. A FIFO is read to its end; the wait for its writer ends when the signal aborts.
 *
 * @throws {AshlarError} INVALID_ARGUMENT if the file cannot be read; the reason of the signal
 */
export async function readInput(context: InputContext, file: string): Promise<Buffer> {
  const { env, signal, waits } = context;
  if (file === "-") return readStandardInput(context);
  const path = LocalPath.parse(env, file);
  try {
    const options = { signal, bytesMax: INPUT_BYTES_MAX };
    const read = () => readWholeFile(path.systemPath, options);
    return Buffer.from(await waits.during(path.text, read));
  } catch (cause) {
    if (signal.aborted || isAshlarError(cause)) throw cause;
    const { code, message } = cause as NodeJS.ErrnoException;
    const reason = code === undefined ? message : errnoWords(code);
    throw new AshlarError("INVALID_ARGUMENT", `Cannot read ${path.text}: ${reason}`, { cause });
  }
}

async function readStandardInput(context: InputContext): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let lengthBytes = 0;
  for await (const part of standardInput(context)) {
    parts.push(part);
    lengthBytes += part.length;
    if (lengthBytes > INPUT_BYTES_MAX) {
      throw new AshlarError(
        "INVALID_ARGUMENT",
        `Cannot read standard input: expected at most ${INPUT_BYTES_MAX} bytes`,
      );
    }
  }
  return Buffer.concat(parts);
}
