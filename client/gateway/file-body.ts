import type { FileHandle, Slab } from "../results.ts";
import type { GatewayRequest } from "./gateway-request.ts";
import type { PartRange } from "./requested-range.ts";
import type { TransferSlot } from "./transfer-slots.ts";

/**
 * Bytes that are passed on at once. A response whose client does not read holds a few pieces and
 * nothing else.
 */
const PIECE_BYTES = 128 * 1024;

/** A part of the body of a response: bytes of the gateway, or a range of the file. */
export type BodySegment = Uint8Array | PartRange;

/** Yields the segments of a body in order, each range in pieces of at most 128 KiB. */
export async function* fileBody(
  request: GatewayRequest,
  source: { readonly handle: FileHandle; readonly slot: TransferSlot },
  segments: readonly BodySegment[],
): AsyncGenerator<Uint8Array> {
  for (const segment of segments) {
    if (segment instanceof Uint8Array) yield segment;
    else yield* rangeBytes(request, source, segment);
  }
}

/**
 * Yields the bytes of a range in several turns. A turn ends when the slot is lost because the client
 * does not read. The first turn reads ahead as far as configured, and a later one in proportion to
 * the turn before it: a slow client causes few reads that are thrown away.
 */
async function* rangeBytes(
  request: GatewayRequest,
  { handle, slot }: { readonly handle: FileHandle; readonly slot: TransferSlot },
  range: PartRange,
): AsyncGenerator<Uint8Array> {
  const { signal } = request.scope;
  const { readAheadBytesMax: aheadMax } = request.config;
  let start = range.start;
  let readAheadBytesMax = aheadMax;
  while (start < range.end) {
    await slot.hold(signal);
    const slabs = handle.slabs({ start, end: range.end, readAheadBytesMax, signal });
    const turn = new ReadTurn(slabs, slot);
    let turnBytes = 0;
    try {
      for (let piece = await turn.next(); piece !== null; piece = await turn.next()) {
        request.countBytes("out", piece.length);
        turnBytes += piece.length;
        turn.beginIdle();
        yield piece;
        if (!slot.endIdle()) break;
      }
    } finally {
      await turn.end();
    }
    start += turnBytes;
    readAheadBytesMax = Math.min(aheadMax, Math.max(PIECE_BYTES, 2 * turnBytes));
  }
}

/** One uninterrupted read of a range. It holds buffers until it ends. */
class ReadTurn {
  readonly #slabs: AsyncIterator<Slab>;
  readonly #slot: TransferSlot;
  #slab: Slab | null = null;
  /** Bytes of the slab that were returned. */
  #takenBytes = 0;
  #ended: Promise<unknown> | null = null;

  constructor(slabs: AsyncIterable<Slab>, slot: TransferSlot) {
    this.#slabs = slabs[Symbol.asyncIterator]();
    this.#slot = slot;
  }

  /** Resolves with a copy of the next bytes; null at the end of the range. */
  async next(): Promise<Uint8Array | null> {
    if (this.#slab === null) {
      const next = await this.#slabs.next();
      if (next.done === true) return null;
      this.#slab = next.value;
      this.#takenBytes = 0;
    }
    const { bytes } = this.#slab;
    const piece = bytes.slice(this.#takenBytes, this.#takenBytes + PIECE_BYTES);
    this.#takenBytes += piece.length;
    if (this.#takenBytes === bytes.length) this.#release();
    return piece;
  }

  /** Allows that another transfer takes the slot and so ends this turn. */
  beginIdle(): void {
    this.#slot.beginIdle(() => {
      this.end().catch(() => {}); // The owner of the turn awaits the same promise.
    });
  }

  /** Releases all buffers. */
  async end(): Promise<void> {
    this.#release();
    this.#ended ??= this.#slabs.return?.() ?? Promise.resolve();
    await this.#ended;
  }

  #release(): void {
    this.#slab?.release();
    this.#slab = null;
  }
}
