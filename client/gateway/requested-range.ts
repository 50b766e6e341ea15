import parseRange from "range-parser";

/** The range in a Range header (RFC 9110, section 14.2). `end` is exclusive. */
export type RequestedRange =
  | { readonly kind: "whole" }
  | { readonly kind: "part"; readonly start: number; readonly end: number }
  /** The range contains no byte of the file. */
  | { readonly kind: "unsatisfiable" }
  /** Several disjoint parts, which are not supported. */
  | { readonly kind: "several" };

/** Parses a Range header. A header that is not a range of bytes is ignored, as the RFC requires. */
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

/**
 * Limits a suffix to the file size. In the RFC, a suffix that is longer than the file means the
 * whole file, but range-parser refuses it.
 */
function clampSuffix(header: string, sizeBytes: number): string {
  return header.replace(/([=,]\s*)-(\d+)/g, (_, before: string, count: string) => {
    return `${before}-${Math.min(Number(count), sizeBytes)}`;
  });
}
