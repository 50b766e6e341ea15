/** Bytes [start, end) of a file, at least one. */
export interface PartRange {
  readonly start: number;
  readonly end: number;
}

/** The ranges in a Range header (RFC 9110, section 14.2). */
export type RequestedRange =
  | { readonly kind: "whole" }
  /** At least one part, in the order of the request. No two of them overlap or touch. */
  | { readonly kind: "parts"; readonly parts: readonly PartRange[] }
  /** The ranges contain no byte of the file. */
  | { readonly kind: "unsatisfiable" };

/** Most parts of one response. A request for more is answered with the whole file. */
export const PARTS_MAX = 16;

const WHOLE: RequestedRange = { kind: "whole" };

/**
 * Parses a Range header. A header that is malformed, as "bytes=5-2", or of another unit is ignored,
 * as the RFC requires.
 */
export function parseRequestedRange(header: string | undefined, sizeBytes: number): RequestedRange {
  const list = /^\s*bytes\s*=(.*)$/i.exec(header ?? "")?.[1];
  if (list === undefined) return WHOLE;
  const specs = list.split(",").flatMap((each) => (each.trim() === "" ? [] : [each.trim()]));
  const ranges = specs.map((spec) => parseSpec(spec, sizeBytes));
  if (ranges.length === 0 || ranges.includes(null)) return WHOLE;
  const parts = ranges.flatMap((range) =>
    range !== null && range.start < range.end ? [range] : [],
  );
  if (parts.length === 0) return { kind: "unsatisfiable" };
  // An empty file has no range that a Content-Range can show.
  if (sizeBytes === 0) return WHOLE;
  const merged = merge(parts);
  return merged.length > PARTS_MAX ? WHOLE : { kind: "parts", parts: merged };
}

/** Returns the bytes of one range, empty if the file has none of them; null if it is malformed. */
function parseSpec(spec: string, sizeBytes: number): PartRange | null {
  const match = /^(\d*)-(\d*)$/.exec(spec);
  if (match === null || spec === "-") return null;
  const [, first = "", last = ""] = match;
  if (first === "") {
    const start = Math.max(0, sizeBytes - Number(last));
    // A suffix of an empty file is the whole file (RFC 9110, section 14.1.2).
    return { start, end: Math.max(sizeBytes, Number(last) > 0 ? start + 1 : 0) };
  }
  if (last !== "" && Number(last) < Number(first)) return null;
  const end = last === "" ? sizeBytes : Math.min(sizeBytes, Number(last) + 1);
  return { start: Number(first), end };
}

/**
 * Joins parts that overlap or touch, so that a response is never longer than the file. A joined part
 * has the position of its first member in the request.
 */
function merge(parts: readonly PartRange[]): PartRange[] {
  const sorted = parts
    .map((part, position) => ({ ...part, position }))
    .sort((a, b) => a.start - b.start);
  const merged: Array<{ start: number; end: number; position: number }> = [];
  for (const part of sorted) {
    const last = merged.at(-1);
    if (last === undefined || part.start > last.end) merged.push({ ...part });
    else {
      last.end = Math.max(last.end, part.end);
      last.position = Math.min(last.position, part.position);
    }
  }
  merged.sort((a, b) => a.position - b.position);
  return merged.map(({ start, end }) => ({ start, end }));
}
