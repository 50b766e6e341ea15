import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { openSource } from "../../../client/write/put-source.ts";
import { UploadFrameReader } from "../../../client/write/upload-frames.ts";
import { concatBytes } from "../../../shared/base/bytes.ts";
import { SlabPool } from "../../../shared/flow/slabs.ts";
import { FRAME_BYTES_MAX } from "../../../shared/protocol/chunk-api.ts";

const SIGNAL = new AbortController().signal;

function numbered(count: number): Uint8Array {
  const bytes = new Uint8Array(count);
  for (let position = 0; position < count; position += 251) bytes[position] = position;
  return bytes;
}

/**
 * Yields pieces of the given sizes, cyclically. Overwrites each piece when the next is requested.
 */
async function* reusing(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  for (let offset = 0, turn = 0; offset < bytes.length; turn += 1) {
    const piece = bytes.slice(offset, offset + (sizes[turn % sizes.length] as number));
    offset += piece.length;
    yield piece;
    piece.fill(0xee);
  }
}

const CHUNKS = { frameBytes: FRAME_BYTES_MAX, chunkSizeBytes: 2 * FRAME_BYTES_MAX };

describe("the frames of a source", () => {
  it("use a pool of their own if they are the first of a chunk", async () => {
    const pools = [1, 2].map(() => new SlabPool({ bytesMax: 8 * FRAME_BYTES_MAX }));
    const [first, next] = pools as [SlabPool, SlabPool];
    const source = openSource(new Uint8Array(5 * FRAME_BYTES_MAX), SIGNAL);
    const slabs = { first, next };
    const frames = new UploadFrameReader({
      ...{ ...CHUNKS, source, slabs, signal: SIGNAL, sizeHint: undefined },
    });
    const held: (readonly [number, number])[] = [];
    while ((await frames.next()) !== null) {
      held.push([first.acquiredBytes / FRAME_BYTES_MAX, next.acquiredBytes / FRAME_BYTES_MAX]);
    }
    assert.deepEqual(held, [
      [1, 0],
      [1, 1],
      [2, 1],
      [2, 2],
      [3, 2],
    ]);
  });

  it("have equal lengths except the last, for any sizes of the pieces and any hint", async () => {
    const slabs = new SlabPool({ bytesMax: 8 * FRAME_BYTES_MAX });
    await fc.assert(
      fc.asyncProperty(
        fc.nat({ max: 3 * FRAME_BYTES_MAX }),
        fc.array(fc.integer({ min: 1, max: 600_000 }), { minLength: 1, maxLength: 5 }),
        fc.option(fc.nat({ max: 3 * FRAME_BYTES_MAX }), { nil: undefined }),
        async (length, sizes, sizeHint) => {
          const floor = sizes.map((size) => Math.max(size, length / 2000));
          const bytes = numbered(length);
          const source = openSource(reusing(bytes, floor.map(Math.ceil)), SIGNAL);
          const frames = new UploadFrameReader({
            source,
            ...CHUNKS,
            slabs: { first: slabs, next: slabs },
            signal: SIGNAL,
            sizeHint,
          });
          const seen: Uint8Array[] = [];
          for (let frame = await frames.next(); frame !== null; frame = await frames.next()) {
            seen.push(frame.bytes.slice());
            frame.slab.release();
          }
          assert.ok(frames.isAtEnd);
          assert.ok(seen.slice(0, -1).every((each) => each.length === FRAME_BYTES_MAX));
          assert.equal(Buffer.compare(concatBytes(seen), bytes), 0);
          assert.equal(slabs.acquiredBytes, 0, "every slab was given back");
        },
      ),
      { numRuns: 60 },
    );
  });

  it("wait for a slab until the signal aborts", async () => {
    const slabs = new SlabPool({ bytesMax: 4096 });
    const held = slabs.tryAcquire(4096);
    const controller = new AbortController();
    const source = openSource("text", SIGNAL);
    const options = {
      ...CHUNKS,
      source,
      slabs: { first: slabs, next: slabs },
      signal: controller.signal,
      sizeHint: 10,
    };
    const waiting = new UploadFrameReader(options).next();
    controller.abort(new Error("No more"));
    await assert.rejects(waiting, /No more/);
    held?.release();
    assert.equal(slabs.acquiredBytes, 0);
  });

  it("abandon a hanging source when the signal aborts", async () => {
    const slabs = new SlabPool({ bytesMax: 8 * FRAME_BYTES_MAX });
    const controller = new AbortController();
    const { signal } = controller;
    const hanging = {
      [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => {}) }),
    };
    const source = openSource(hanging, signal);
    const waiting = new UploadFrameReader({
      ...CHUNKS,
      source,
      slabs: { first: slabs, next: slabs },
      signal,
      sizeHint: undefined,
    }).next();
    await Promise.resolve();
    controller.abort(new Error("No more"));
    await assert.rejects(waiting);
    assert.equal(slabs.acquiredBytes, 0);
  });
});
