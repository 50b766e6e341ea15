import parseRange from "range-parser";

/** What a Range header (RFC 9110, section 14.2) asks for. `end` is not included. */
export type RequestedRange =
  | { readonly kind: "whole" }
  | { readonly kind: "part"; readonly start: number; readonly end: number }
  /** Nothing of it is in the file. */
  | { readonly kind: "unsatisfiable" }
  /** Several parts that are apart from one another: not offered. */
  | { readonly kind: "several" };

/** A header that is no range of bytes is passed over, as the RFC wants. */
export function parseRequestedRange(header: string | undefined, sizeBytes: number): RequestedRange {
  if (header === undefined) return { kind: "whole" };
  const ranges = parseRange(sizeBytes, clampSuffix(header, sizeBytes), { combine: true });
  if (ranges === -2) return { kind: "whole" };
  if (ranges === -1) return { kind: "unsatisfiable" };
  if (ranges.type !== "bytes") return { kind: "whole" };
  const [first, second] = ranges;
  if (first === undefined || second !== undefined) return { kind: "several" };
  return { kind: "part", start: first.start, end: first.end + 1 };
}

/** range-parser refuses a suffix that is longer than the file; the RFC takes the whole file then. */
function clampSuffix(header: string, sizeBytes: number): string {
  return header.replace(/([=,]\s*)-(\d+)/g, (_, before: string, count: string) => {
    return `${before}-${Math.min(Number(count), sizeBytes)}`;
  });
}
