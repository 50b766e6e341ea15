import { pathText } from "../../shared/base/path.ts";
import { readCommandLine } from "../../shared/platform/procfs.ts";

/*
 * A name on Linux is bytes; arguments and patterns are text. The conversion loses nothing in either
 * direction. It follows Python (PEP 383): a byte that is not part of valid UTF-8 becomes the lone
 * surrogate U+DC00 + byte, which no UTF-8 text contains.
 */
const ESCAPE_FIRST = 0xdc80;
const ESCAPE_LAST = 0xdcff;
const ESCAPE = /[\uDC80-\uDCFF]/;

/** Returns the text of `bytes`, with each byte that is not UTF-8 as a lone surrogate. */
export function textOfBytes(bytes: Uint8Array): string {
  return pathText(bytes);
}

/** Returns the bytes of `text`: the inverse of `textOfBytes`. Patterns may have other surrogates. */
export function bytesOfText(text: string): Uint8Array {
  if (!ESCAPE.test(text)) return Buffer.from(text, "utf8");
  const parts = Array.from(text, (character) => {
    const code = character.length === 1 ? character.charCodeAt(0) : 0;
    const isEscape = code >= ESCAPE_FIRST && code <= ESCAPE_LAST;
    return isEscape ? Buffer.of(code & 0xff) : Buffer.from(character, "utf8");
  });
  return Buffer.concat(parts);
}

/**
 * Returns the arguments of this process without loss. Node decodes them as UTF-8 and writes U+FFFD
 * for each byte that is not UTF-8. The original bytes are in /proc/self/cmdline (proc(5)).
 */
export function losslessArguments(commandLine: readonly string[]): string[] {
  if (!commandLine.some((argument) => argument.includes("\uFFFD"))) return [...commandLine];
  const raw = kernelArguments().slice(-commandLine.length);
  return commandLine.map((argument, index) => {
    const bytes = raw[index];
    return bytes?.toString("utf8") === argument ? textOfBytes(bytes) : argument;
  });
}

function kernelArguments(): Buffer[] {
  const commandLine = readCommandLine();
  if (commandLine === null) return []; // Not Linux: the arguments stay as Node decoded them.
  const parts: Buffer[] = [];
  let start = 0;
  for (let end = commandLine.indexOf(0); end >= 0; end = commandLine.indexOf(0, start)) {
    parts.push(commandLine.subarray(start, end));
    start = end + 1;
  }
  return parts;
}
