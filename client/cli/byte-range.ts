import { AshlarError } from "../../shared/base/errors.ts";
import type { ByteRange } from "../options.ts";

/**
 * The bytes that "FROM-TO" (both included), "FROM-" or "-N" (the last N) name, as RFC 9110 §14.1.2
 * writes them.
 *
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
  return new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot use --range: expected FROM-TO, FROM- or -COUNT in bytes: got "${text}"`,
  );
}
