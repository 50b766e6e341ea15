import { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex } from "../../shared/base/ids.ts";
import { REPLACE_HINT } from "../lost-entries.ts";
import type { EntryPosition } from "../raft/messages.ts";
import type { LogItem } from "./log-record.ts";
import { segmentFileName } from "./segment-header.ts";

/** A record of a segment and the first entry in it. */
export interface LogMark {
  readonly firstIndex: LogIndex;
  readonly offset: number;
}

/** A segment file of the log. */
export interface Segment {
  readonly path: string;
  readonly sequence: number;
  /** Position of the last entry before this segment, at its creation. */
  readonly base: EntryPosition;
  readonly salt: Uint8Array;
  /**
   * End of the last record. Of a segment that was not read at the start: length of the file. Not
   * current for the active segment.
   */
  lengthBytes: number;
  /** Records about MARK_BYTES apart, by ascending offset, as far as the segment was read. */
  readonly marks: LogMark[];
}

/** Distance of two marks of a segment, in bytes. */
const MARK_BYTES = 256 * 1024;

/** Adds a mark for the record at `offset` if it has an entry and the last mark is far away. */
export function addMark(segment: Segment, offset: number, items: readonly LogItem[]): void {
  const last = segment.marks.at(-1);
  if (last !== undefined && offset < last.offset + MARK_BYTES) return;
  const first = items.find((item) => item.kind === "entry");
  if (first !== undefined) segment.marks.push({ firstIndex: first.entry.index, offset });
}

/** Returns the error of damaged bytes in a segment. */
export function logCorrupt(path: string, offsetBytes: number, expected: string): AshlarError {
  return new AshlarError(
    "LOG_CORRUPT",
    `Cannot read ${path} at byte ${offsetBytes}: expected ${expected}`,
    {
      details: { path, offsetBytes },
      hint: REPLACE_HINT,
    },
  );
}

/** Returns the path of a segment. Its first entry is the one after `baseIndex`. */
export function segmentPath(directory: string, sequence: number, baseIndex: LogIndex): string {
  return `${directory}/${segmentFileName(sequence, baseIndex + 1)}`;
}
