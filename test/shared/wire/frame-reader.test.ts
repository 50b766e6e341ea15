import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { concatBytes, equalBytes } from "../../../shared/base/bytes.ts";
import { SlabPool } from "../../../shared/flow/slabs.ts";
import { COVERED_BODY } from "../../../shared/wire/byte-budget.ts";
import { FRAME_KINDS } from "../../../shared/wire/frame.ts";
import { FrameCodec } from "../../../shared/wire/frame-codec.ts";
import { type Frame, FrameReader } from "../../../shared/wire/frame-reader.ts";
import { frameBytesOf } from "../../support/raw-peer.ts";
import { SeededRandom } from "../../support/seeded-random.ts";

/** A reader with a simulated socket: reads of any size, and pauses. */
class ReaderHarness {
  readonly slabs: SlabPool;
  readonly frames: Frame[] = [];
  readonly malformed: string[] = [];
  readonly reader: FrameReader;
  isPaused = false;
  #buffer: Uint8Array;

  constructor(slabBytesMax = 2 ** 24) {
    this.slabs = new SlabPool({ bytesMax: slabBytesMax });
    this.reader = new FrameReader({
      slabs: this.slabs,
      codec: new FrameCodec(),
      limits: () => ({ headBytesMax: 2 ** 20, bodyBytesMax: 2 ** 20 }),
      onFrame: (frame) => this.frames.push(frame),
      wantsHead: () => true,
      checkHead: () => {},
      leaseBody: ({ streamId }) => (streamId === 666 ? null : COVERED_BODY),
      onDropped: () => {},
      onMalformed: (reason) => this.malformed.push(reason),
      pause: () => {
        this.isPaused = true;
      },
      resume: () => {
        this.isPaused = false;
      },
    });
    this.#buffer = this.reader.buffer();
  }

  /**
   * Feeds at most `count` bytes into the reader's buffer. Like Node, it then gets the next buffer.
   */
  read(bytes: Uint8Array, count: number): Uint8Array {
    const part = bytes.subarray(0, Math.min(count, this.#buffer.length));
    this.#buffer.set(part);
    this.reader.onBytes(part.length);
    this.#buffer = this.reader.buffer();
    assert.ok(this.#buffer.length > 0);
    return bytes.subarray(part.length);
  }
}

/**
 * Returns bytes that depend on their offset and their message. A loop fills them, because the tests
 * use hundreds of megabytes.
 */
function bodyOf(streamId: number, bodyBytes: number): Uint8Array<ArrayBuffer> {
  const body = new Uint8Array(bodyBytes);
  for (let index = 0; index < bodyBytes; index += 1) body[index] = index * streamId;
  return body;
}

function message(streamId: number, headBytes: number, bodyBytes: number): Uint8Array {
  const head = { text: "x".repeat(headBytes) };
  const body = bodyOf(streamId, bodyBytes);
  return frameBytesOf({ kind: FRAME_KINDS.message, streamId, head }, body);
}

function check(frame: Frame, streamId: number, headBytes: number, bodyBytes: number): void {
  assert.equal(frame.header.streamId, streamId);
  assert.equal((frame.head as { text: string }).text.length, headBytes);
  assert.equal(frame.body.bytes.length, bodyBytes);
  assert.ok(equalBytes(frame.body.bytes, bodyOf(streamId, bodyBytes)));
  frame.body.release();
}

describe("FrameReader", () => {
  for (let seed = 1; seed <= 30; seed += 1) {
    it(`finds the same frames for reads of any size (seed ${seed})`, () => {
      const random = new SeededRandom(seed);
      const harness = new ReaderHarness(2 ** 21);
      const sizes = Array.from({ length: 60 }, (_, index) => ({
        streamId: index + 1,
        headBytes: [0, 10, 300, 4000, 70_000, 200_000][random.integer(6)] ?? 0,
        bodyBytes: [0, 1, 4096, 4097, 65_536, 300_000, 2 ** 20][random.integer(7)] ?? 0,
      }));
      let bytes = concatBytes(
        sizes.map(({ streamId, headBytes, bodyBytes }) => message(streamId, headBytes, bodyBytes)),
      );
      let checkedCount = 0;
      const checkNext = (): void => {
        const frame = harness.frames[checkedCount];
        const size = sizes[checkedCount];
        assert.ok(frame !== undefined && size !== undefined);
        checkedCount += 1;
        check(frame, size.streamId, size.headBytes, size.bodyBytes);
      };
      while (bytes.length > 0) {
        // While the reader is paused, no bytes arrive until slabs are released.
        while (harness.isPaused) checkNext();
        bytes = harness.read(bytes, 1 + random.integer(2 ** random.integer(20)));
      }
      while (checkedCount < sizes.length) checkNext();
      assert.equal(harness.slabs.acquiredBytes, 0);
    });
  }

  it("holds a small buffer until a read fills it, because most connections send little", () => {
    const harness = new ReaderHarness();
    const roomBytes = (): number => harness.reader.buffer().length;
    for (let count = 0; count < 1000; count += 1) harness.read(message(1, 100, 100), 4000);
    assert.equal(roomBytes(), 4096);
    let rest = message(3, 6000, 0);
    while (rest.length > 0) rest = harness.read(rest, 2 ** 20);
    assert.equal(roomBytes(), 64 * 1024);
    assert.equal(harness.frames.length, 1001);
  });

  it("moves bytes that were read into the staging buffer after its slab was granted", () => {
    const harness = new ReaderHarness(16 * 1024);
    const held = harness.slabs.tryAcquire(16 * 1024);
    const bytes = concatBytes([message(3, 10, 10_000), message(5, 10, 10)]);
    let rest = harness.read(bytes, 3000);
    assert.ok(harness.isPaused);
    held?.release(); // The slab is granted after `buffer` returned a part of the staging buffer.
    assert.ok(!harness.isPaused);
    while (rest.length > 0) rest = harness.read(rest, 2500);
    const [first, second] = harness.frames;
    assert.ok(first !== undefined && second !== undefined);
    check(first, 3, 10, 10_000);
    check(second, 5, 10, 10);
  });

  it("drops an unwanted body without acquiring a slab", () => {
    const harness = new ReaderHarness();
    let bytes = concatBytes([message(666, 10, 1_000_000), message(2, 3, 4)]);
    while (bytes.length > 0) {
      bytes = harness.read(bytes, 50_000);
      assert.equal(harness.slabs.acquiredBytes, 0);
    }
    assert.deepEqual(
      harness.frames.map(({ header }) => header.streamId),
      [2],
    );
  });

  it("stops at a malformed header", () => {
    const harness = new ReaderHarness();
    harness.read(concatBytes([new Uint8Array(16).fill(255), message(1, 1, 1)]), 1000);
    harness.read(message(1, 1, 1), 1000);
    assert.equal(harness.malformed.length, 1);
    assert.equal(harness.frames.length, 0);
  });

  it("reports a head that is not msgpack, and continues with the next frame", () => {
    const harness = new ReaderHarness();
    const broken = message(7, 5, 9);
    broken.fill(0xc1, 16, 20);
    harness.read(concatBytes([broken, message(8, 5, 9)]), 1000);
    const [first, second] = harness.frames;
    assert.equal(first?.headError?.code, "PROTOCOL_ERROR");
    assert.ok(second !== undefined);
    check(second, 8, 5, 9);
  });
});
