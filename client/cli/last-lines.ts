const LINE_END = 0x0a;
/** Bytes that are searched for line ends at a time from the end of a file. */
const STEP_BYTES = 256 * 1024;

/** A file of which any part can be read. */
export interface ReadableEnd {
  readonly sizeBytes: number;
  /** Reads all bytes of a range, which is within the file. */
  readonly read: (range: {
    readonly position: number;
    readonly lengthBytes: number;
  }) => Promise<Uint8Array>;
}

/**
 * Returns the position of the first byte of the last `count` lines, or 0 if the file has at most
 * `count` lines. Reads from the end of the file, one step at a time.
 */
export async function startOfLastLines(
  count: number,
  { sizeBytes, read }: ReadableEnd,
): Promise<number> {
  if (count === 0) return sizeBytes;
  // The line end of the last line separates it from no other line.
  let left = count;
  for (let end = sizeBytes; end > 0; ) {
    const start = Math.floor((end - 1) / STEP_BYTES) * STEP_BYTES;
    const bytes = await read({ position: start, lengthBytes: end - start });
    for (let at = bytes.length - 1; at >= 0; at -= 1) {
      if (bytes[at] !== LINE_END || start + at === sizeBytes - 1) continue;
      left -= 1;
      if (left === 0) return start + at + 1;
    }
    end = start;
  }
  return 0;
}
