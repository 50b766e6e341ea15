import { readFileSync } from "node:fs";

/**
 * The arguments of this process as bytes. Node decodes argv as UTF-8 and puts U+FFFD where that
 * fails; a file name on Linux may be any bytes, so those are read again from proc(5) cmdline.
 */
export class RawArguments {
  #bytesOfText: Map<string, Uint8Array> | null = null;

  bytesOf(argument: string): Uint8Array {
    if (!argument.includes("\uFFFD")) return Buffer.from(argument, "utf8");
    this.#bytesOfText ??= readCommandLine();
    return this.#bytesOfText.get(argument) ?? Buffer.from(argument, "utf8");
  }
}

function readCommandLine(): Map<string, Uint8Array> {
  const byText = new Map<string, Uint8Array>();
  let commandLine: Buffer;
  try {
    commandLine = readFileSync("/proc/self/cmdline");
  } catch {
    return byText;
  }
  let start = 0;
  for (let end = 0; end < commandLine.length; end += 1) {
    if (commandLine[end] !== 0) continue;
    const bytes = commandLine.subarray(start, end);
    byText.set(bytes.toString("utf8"), bytes);
    start = end + 1;
  }
  return byText;
}
