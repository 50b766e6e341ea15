import type { AshlarError } from "../../shared/base/errors.ts";
import type { ByteRange } from "../options.ts";
import { invalidValue } from "./parse-values.ts";

/**
 * Parses "FROM-TO" (both inclusive), "FROM-" or "-N" (the last N bytes): the notation of RFC 9110,
 * section 14.1.2.
 *
 * @param sizeBytes size of the file, for "-N"
 * @throws {AshlarError} INVALID_ARGUMENT
 */
export function parseByteRange(text: string, sizeBytes: number): ByteRange {
  const match = /^(\d*)-(\d*)$/.exec(text);
  const [, first = "", last = ""] = match ?? [];
  if (match === null || (first === "" && last === "")) throw invalid(text);
  if (first === "") return { start: Math.max(0, sizeBytes - Number(last)) };
  if (last === "") return { start: Number(first) };
  if (Number(last) < Number(first)) throw invalid(text);
  return { start: Number(first), end: Number(last) + 1 };
}

function invalid(text: string): AshlarError {
  return invalidValue("--range", "FROM-TO, FROM- or -COUNT in bytes", text);
}
