import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { ChunkBuffer } from "../../../client/write/chunk-buffer.ts";
import { ZeroBlocks } from "../../../client/zero-blocks.ts";
import { concatBytes } from "../../../shared/base/bytes.ts";
import { BLOCK_BYTES } from "../../../shared/base/ids.ts";
import { createHasher } from "../../../shared/platform/hasher.ts";
import { hashBlocks } from "../../../shared/protocol/chunk-id.ts";

const { hasher } = createHasher();
const CAPACITY = 64 * BLOCK_BYTES;

/** Returns a slab that counts its owners. */
function countedSlab() {
  const slab = {
    holders: 1,
    retain: () => {
      slab.holders += 1;
    },
    release: () => {
      slab.holders -= 1;
    },
  };
  return slab;
}

function filled(frameBlocks: readonly number[], tailBytes: number) {
  const buffer = new ChunkBuffer(CAPACITY);
  const slabs: ReturnType<typeof countedSlab>[] = [];
  const parts: Uint8Array[] = [];
  const sizes = [...frameBlocks.map((blocks) => blocks * BLOCK_BYTES), tailBytes];
  for (const size of sizes.filter((each) => each > 0)) {
    const bytes = new Uint8Array(size).fill(parts.length + 1);
    const slab = countedSlab();
    buffer.push({
      offsetBytes: buffer.lengthBytes,
      bytes,
      hashes: hashBlocks(hasher, bytes),
      slab,
    });
    slabs.push(slab);
    parts.push(bytes);
  }
  return { buffer, slabs, whole: concatBytes(parts) };
}

describe("the buffer of a chunk writer", () => {
  it("keeps every unacknowledged byte and every byte that a resume can request", () => {
    const frames = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(frames, fc.nat({ max: BLOCK_BYTES - 1 }), fc.nat(), (blocks, tail, seed) => {
        const { buffer, whole } = filled(blocks, tail);
        const ackedBytes = seed % (whole.length + 1);
        buffer.ack(ackedBytes);
        assert.equal(buffer.firstKeptBytes % BLOCK_BYTES, 0);
        // A chain resumes at a block boundary at or before the acknowledged bytes.
        const resumeAt = Math.max(buffer.firstKeptBytes, ackedBytes - (ackedBytes % BLOCK_BYTES));
        assert.ok(resumeAt - (ackedBytes - (ackedBytes % BLOCK_BYTES)) <= 0);
        const resent: Uint8Array[] = [];
        for (let offset = resumeAt; ; ) {
          const frame = buffer.frameAt(offset);
          if (frame === null) break;
          assert.equal(frame.offsetBytes, offset);
          assert.deepEqual(frame.hashes, hashBlocks(hasher, frame.bytes));
          resent.push(frame.bytes);
          offset += frame.bytes.length;
        }
        assert.equal(Buffer.compare(concatBytes(resent), whole.subarray(resumeAt)), 0);
        assert.deepEqual(buffer.blockHashes, hashBlocks(hasher, whole));
      }),
    );
  });

  it("releases slabs when they are acknowledged, and a partial block at the end", () => {
    const { buffer, slabs } = filled([2, 2], 10);
    buffer.ack(2 * BLOCK_BYTES);
    assert.deepEqual(
      slabs.map((slab) => slab.holders),
      [0, 1, 1],
    );
    buffer.ack(4 * BLOCK_BYTES + 10);
    assert.deepEqual(
      slabs.map((slab) => slab.holders),
      [0, 0, 1],
      "the last frame ends within a block",
    );
    buffer.clear();
    assert.deepEqual(
      slabs.map((slab) => slab.holders),
      [0, 0, 0],
    );
  });
});

describe("zeros", () => {
  const zeroBlocks = new ZeroBlocks(hasher);

  it("are detected at every length, and not with one other byte", () => {
    for (const length of [1, BLOCK_BYTES - 1, BLOCK_BYTES, 3 * BLOCK_BYTES + 5]) {
      const bytes = new Uint8Array(length);
      assert.ok(zeroBlocks.isZero(bytes), `${length} zeros`);
      for (const position of [0, length - 1]) {
        const other = bytes.slice();
        other[position] = 1;
        assert.ok(!zeroBlocks.isZero(other), `${length} at ${position}`);
      }
    }
  });

  it("are generated frame by frame", () => {
    const lengthBytes = 33 * BLOCK_BYTES + 7;
    const frames = [...zeroBlocks.frames(lengthBytes)];
    const whole = concatBytes(frames.map((frame) => frame.bytes));
    assert.equal(Buffer.compare(whole, new Uint8Array(lengthBytes)), 0);
    const hashes = concatBytes(frames.map((frame) => frame.hashes));
    assert.deepEqual(hashes, hashBlocks(hasher, whole));
  });
});
