import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { concatBytes, equalBytes } from "../../../shared/base/bytes.ts";
import { SlabPool } from "../../../shared/flow/slabs.ts";
import { SystemClock } from "../../../shared/platform/system-clock.ts";
import { COVERED_BODY } from "../../../shared/wire/byte-budget.ts";
import { FRAME_KINDS } from "../../../shared/wire/frame.ts";
import { FrameCodec } from "../../../shared/wire/frame-codec.ts";
import { type Frame, FrameReader } from "../../../shared/wire/frame-reader.ts";
import { ReadSlices } from "../../../shared/wire/read-slices.ts";
import { Lane } from "../../../shared/wire/turn-queue.ts";
import { frameBytesOf } from "../../support/raw-peer.ts";
import { SeededRandom } from "../../support/seeded-random.ts";

/** A clock in whose time each frame takes 0.5 ms, and nothing else takes time. */
class SlowClock extends SystemClock {
  #nowMs = 0;

  override monotonicMs(): number {
    this.#nowMs += 0.5;
    return this.#nowMs;
  }
}

/** A reader with a simulated socket: reads of any size, and pauses. */
class ReaderHarness {
  readonly slabs: SlabPool;
  readonly frames: Frame[] = [];
  readonly malformed: string[] = [];
  readonly reader: FrameReader;
  isPaused = false;
  #buffer: Uint8Array;

  constructor(slabBytesMax = 2 ** 24, slices: ReadSlices | null = null) {
    const turns = slices === null ? null : { slices, lane: new Lane("client") };
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
      turns: () => turns,
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
    assert.ok(!this.isPaused, "no bytes arrive while the link is paused");
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

/** A connection that receives frames of random sizes in reads of random sizes. */
class RandomConnection {
  readonly harness: ReaderHarness;
  readonly #random: SeededRandom;
  readonly #sizes: { readonly headBytes: number; readonly bodyBytes: number }[] = [];
  #bytes: Uint8Array;
  #checkedCount = 0;

  constructor(random: SeededRandom, slices: ReadSlices) {
    this.harness = new ReaderHarness(2 ** 21, slices);
    this.#random = random;
    for (let run = 0; run < 25; run += 1) this.#addRun();
    const frames = this.#sizes.map(({ headBytes, bodyBytes }, index) =>
      message(2 * index + 1, headBytes, bodyBytes),
    );
    this.#bytes = concatBytes(frames);
  }

  /** Whether all frames were found. */
  get isDone(): boolean {
    return this.#checkedCount === this.#sizes.length;
  }

  /** Delivers a read that fills the buffer, or a part of it. Nothing arrives while the link is paused. */
  feed(): void {
    if (!this.harness.isPaused && this.#bytes.length > 0) {
      const isFull = this.#random.integer(2) === 0;
      const count = isFull ? 2 ** 20 : 1 + this.#random.integer(2 ** this.#random.integer(17));
      this.#bytes = this.harness.read(this.#bytes, count);
    }
    this.#check();
  }

  /** Adds frames of one size: many if it is small. */
  #addRun(): void {
    // The head of 65,510 bytes is the longest that is decoded in the staging buffer.
    const headBytes = [0, 10, 300, 65_510, 70_000, 200_000][this.#random.integer(6)] ?? 0;
    const bodyBytes = [0, 0, 1, 4096, 4097, 300_000][this.#random.integer(6)] ?? 0;
    const isSmall = headBytes + bodyBytes < 100;
    const count = 1 + (isSmall ? this.#random.integer(2 ** this.#random.integer(12)) : 0);
    for (let frame = 0; frame < count; frame += 1) this.#sizes.push({ headBytes, bodyBytes });
  }

  #check(): void {
    assert.deepEqual(this.harness.malformed, []);
    for (const frame of this.harness.frames.slice(this.#checkedCount)) {
      const size = this.#sizes[this.#checkedCount];
      assert.ok(size !== undefined, "no frame was found twice");
      check(frame, 2 * this.#checkedCount + 1, size.headBytes, size.bodyBytes);
      this.#checkedCount += 1;
    }
  }
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

  it("reads the frames of many small requests in several turns, in which connections alternate", async () => {
    const clock = new SlowClock();
    const slices = new ReadSlices(clock);
    const harnesses = Array.from({ length: 4 }, () => new ReaderHarness(2 ** 20, slices));
    const frames = Array.from({ length: 100 }, (_, index) => message(index + 1, 10, 0));
    for (const harness of harnesses) harness.read(concatBytes(frames), 4096);
    let counts = harnesses.map((harness) => harness.frames.length);
    const sum = (): number => counts.reduce((total, count) => total + count, 0);
    assert.ok(sum() <= 10, `${sum()} frames in the first turn`);
    for (let turn = 0; turn < 200 && sum() < 4 * frames.length; turn += 1) {
      const before = sum();
      await clock.yieldTurn();
      counts = harnesses.map((harness) => harness.frames.length);
      assert.ok(sum() - before <= 12, `${sum() - before} frames in one turn`);
      assert.ok(Math.max(...counts) - Math.min(...counts) <= 12, `${counts} frames`);
    }
    for (const harness of harnesses) {
      const ids = harness.frames.map(({ header }) => header.streamId);
      assert.deepEqual(
        ids,
        [...frames.keys()].map((index) => index + 1),
      );
    }
  });

  it("forgets a connection that is closed while it waits for its turn", async () => {
    const clock = new SlowClock();
    const harness = new ReaderHarness(2 ** 20, new ReadSlices(clock));
    harness.read(concatBytes(Array.from({ length: 100 }, () => message(1, 10, 0))), 4096);
    assert.ok(harness.isPaused);
    const count = harness.frames.length;
    harness.reader.stop();
    for (let turn = 0; turn < 10; turn += 1) await clock.yieldTurn();
    assert.equal(harness.frames.length, count);
  });

  for (let seed = 1; seed <= 20; seed += 1) {
    it(`finds the same frames in several turns (seed ${seed})`, async () => {
      const random = new SeededRandom(seed);
      const clock = new SlowClock();
      const harness = new ReaderHarness(2 ** 21, new ReadSlices(clock));
      const sizes = Array.from({ length: 100 }, (_, index) => ({
        streamId: index + 1,
        headBytes: [0, 10, 300, 4000, 70_000][random.integer(5)] ?? 0,
        bodyBytes: [0, 1, 4096, 4097, 300_000][random.integer(5)] ?? 0,
      }));
      let bytes = concatBytes(
        sizes.map(({ streamId, headBytes, bodyBytes }) => message(streamId, headBytes, bodyBytes)),
      );
      let checkedCount = 0;
      const checkFrames = (): void => {
        for (const frame of harness.frames.slice(checkedCount)) {
          const size = sizes[checkedCount];
          assert.ok(size !== undefined);
          check(frame, size.streamId, size.headBytes, size.bodyBytes);
          checkedCount += 1;
        }
      };
      while (bytes.length > 0) {
        bytes = harness.read(bytes, 1 + random.integer(2 ** random.integer(17)));
        while (harness.isPaused) {
          await clock.yieldTurn();
          checkFrames();
        }
      }
      checkFrames();
      assert.equal(checkedCount, sizes.length);
      assert.equal(harness.slabs.acquiredBytes, 0);
    });
  }

  it("has room for the next read after a wait, during which the link keeps its array", async () => {
    const clock = new SlowClock();
    const slices = new ReadSlices(clock);
    const other = new ReaderHarness(2 ** 20, slices);
    const harness = new ReaderHarness(2 ** 20, slices);
    const small = Array.from({ length: 5000 }, () => message(5, 10, 0));
    /** Reads all that fits, while the other connection has used the slice. Then waits for the turn. */
    const readLate = async (bytes: Uint8Array): Promise<Uint8Array> => {
      other.read(concatBytes(small.slice(0, 20)), 4096);
      const rest = harness.read(bytes, 2 ** 20);
      assert.ok(harness.isPaused);
      while (harness.isPaused || other.isPaused) await clock.yieldTurn();
      return rest;
    };
    let rest = concatBytes(small);
    while (rest.length > 0) rest = await readLate(rest);
    rest = harness.read(message(3, 10, 10_000), 5000);
    await readLate(rest); // It ends the body: nothing is staged during the wait.
    rest = concatBytes(small);
    while (rest.length > 0) rest = await readLate(rest);
    assert.equal(harness.frames.length, 2 * small.length + 1);
  });

  for (let seed = 1; seed <= 40; seed += 1) {
    it(`finds the same frames while other connections take the turns (seed ${seed})`, async () => {
      const random = new SeededRandom(seed);
      const clock = new SlowClock();
      const slices = new ReadSlices(clock);
      const connections = [1, 2, 3].map(() => new RandomConnection(random, slices));
      while (connections.some((connection) => !connection.isDone)) {
        for (const connection of connections) connection.feed();
        if (random.integer(3) === 0) await clock.yieldTurn();
      }
      for (const { harness } of connections) assert.equal(harness.slabs.acquiredBytes, 0);
    });
  }

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
