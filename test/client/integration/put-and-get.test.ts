import assert from "node:assert/strict";
import { getEventListeners, once } from "node:events";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { after, before, describe, it } from "node:test";
import { blake3 } from "@noble/hashes/blake3.js";
import type { FileSystem } from "../../../client/file-system.ts";
import { toHex } from "../../../shared/base/bytes.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { Hasher } from "../../../shared/ports/hasher.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { MemoryLog } from "../../support/wire-fixture.ts";
import { LoopbackCluster, makeEnv } from "../support/loopback-cluster.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const random = new SeededRandom(20261121);

/** Returns pseudo-random bytes. */
function someBytes(count: number): Uint8Array {
  const bytes = new Uint8Array(count);
  const words = new Uint32Array(bytes.buffer, 0, count >> 2);
  let word = random.integer(2 ** 32);
  for (let position = 0; position < words.length; position += 1) {
    word = (Math.imul(word, 1664525) + 1013904223) >>> 0;
    words[position] = word;
  }
  return bytes;
}

async function* piecesOf(bytes: Uint8Array, sizeMax: number): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < bytes.length; ) {
    const piece = bytes.slice(offset, offset + 1 + random.integer(sizeMax));
    offset += piece.length;
    yield piece;
  }
}

function assertSame(actual: Uint8Array, expected: Uint8Array): void {
  // deepEqual takes seconds for large arrays.
  assert.equal(Buffer.compare(actual, expected), 0, "the bytes equal the written bytes");
}

describe("file data on real chunkservers", () => {
  let cluster: LoopbackCluster;
  let fs: FileSystem;
  before(async () => {
    cluster = await LoopbackCluster.start(3);
    fs = await cluster.connect();
  });
  after(() => cluster[Symbol.asyncDispose]());

  it("reads back the written bytes at sizes around every limit", async () => {
    const sizes = [0, 1, 4096, 4097, 65_535, 65_536, 65_537, MIB - 1, MIB, MIB + 1, 3 * MIB + 77];
    for (const size of sizes) {
      const bytes = someBytes(size);
      const result = await fs.writeFile("/size", bytes, { chunkSizeBytes: MIB, replace: true });
      assert.equal(result.sizeBytes, size);
      assert.equal(result.chunkCount, size <= 4096 ? 0 : Math.ceil(size / MIB));
      assert.equal(result.chunksUnderReplicated, 0);
      assertSame(await fs.readFile("/size"), bytes);
      const attributes = await fs.stat("/size");
      assert.ok(attributes.kind === "file");
      assert.deepEqual(result.contentRoot, attributes.contentRoot);
    }
  });

  it("accepts every kind of source, in pieces of any size", async () => {
    const bytes = someBytes(2 * MIB + 5);
    let filledBytes = 0;
    const fill = async (target: Uint8Array): Promise<number> => {
      const piece = bytes.subarray(filledBytes, filledBytes + Math.min(target.length, 100_001));
      target.set(piece);
      filledBytes += piece.length;
      return piece.length;
    };
    const sources = {
      pieces: piecesOf(bytes, 300_000),
      tiny: piecesOf(bytes, 20_000),
      readable: Readable.from(piecesOf(bytes, 70_000)),
      web: new Blob([bytes]).stream(),
      blob: new Blob([bytes]),
      iterable: [bytes.subarray(0, 3), bytes.subarray(3)],
      fill: { fill },
    };
    for (const [kind, source] of Object.entries(sources)) {
      await fs.writeFile(`/source-${kind}`, source as never);
      assertSame(await fs.readFile(`/source-${kind}`), bytes);
    }
    await fs.writeFile("/text", "Grüße");
    assert.equal(new TextDecoder().decode(await fs.readFile("/text")), "Grüße");
  });

  it("reads any range", async () => {
    const bytes = someBytes(3 * MIB + 1234);
    await fs.writeFile("/range", bytes, { chunkSizeBytes: MIB });
    for (let round = 0; round < 30; round += 1) {
      const start = random.integer(bytes.length + 10);
      const end = start + random.integer(bytes.length);
      assertSame(await fs.readFile("/range", { start, end }), bytes.subarray(start, end));
    }
    await using handle = await fs.open("/range");
    assertSame(
      await handle.read({ position: MIB - 3, lengthBytes: 6 }),
      bytes.subarray(MIB - 3, MIB + 3),
    );
    assert.equal((await handle.read({ position: bytes.length, lengthBytes: 6 })).length, 0);
  });

  it("writes and reads through Node streams and web streams", async () => {
    const bytes = someBytes(5 * MIB + 3);
    const writable = fs.createWriteStream("/streamed");
    await pipeline(Readable.from(piecesOf(bytes, 400_000)), writable);
    assert.equal(writable.result?.sizeBytes, bytes.length);
    const read: Uint8Array[] = [];
    for await (const piece of fs.createReadStream("/streamed", { start: 7 })) read.push(piece);
    assertSame(Buffer.concat(read), bytes.subarray(7));
    await fs.readableStream("/streamed").pipeTo(fs.writableStream("/streamed-again"));
    assertSame(await fs.readFile("/streamed-again"), bytes);
  });

  it("publishes nothing when a write is cancelled (G7)", async () => {
    const stream = fs.createWriteStream("/cancelled");
    stream.on("error", () => {});
    await new Promise((resolve) => stream.write(someBytes(3 * MIB), resolve));
    stream.destroy(new Error("No more"));
    await new Promise((resolve) => stream.once("close", resolve));
    await assert.rejects(fs.stat("/cancelled"), (error) => isAshlarError(error, "NOT_FOUND"));

    const controller = new AbortController();
    async function* endless(): AsyncGenerator<Uint8Array> {
      yield someBytes(2 * MIB);
      controller.abort();
      for (;;) yield someBytes(MIB);
    }
    const write = fs.writeFile("/cancelled", endless(), { signal: controller.signal });
    await assert.rejects(write, (error) => isAshlarError(error, "CANCELLED"));
    await assert.rejects(fs.stat("/cancelled"), (error) => isAshlarError(error, "NOT_FOUND"));
  });

  it("rethrows the error of the source, and publishes nothing", async () => {
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield someBytes(2 * MIB);
      throw new Error("The source broke");
    }
    await assert.rejects(fs.writeFile("/broken", failing()), /The source broke/);
    await assert.rejects(fs.stat("/broken"), (error) => isAshlarError(error, "NOT_FOUND"));
  });

  it("keeps the version of an open file, also after unlink (G7, G11)", async () => {
    const old = someBytes(2 * MIB);
    await fs.writeFile("/versioned", old, { chunkSizeBytes: MIB });
    await using handle = await fs.open("/versioned");
    await fs.writeFile("/versioned", someBytes(MIB), { chunkSizeBytes: MIB, replace: true });
    const target = new Uint8Array(2 * MIB);
    assert.equal(await handle.readInto(target, 0), old.length);
    assertSame(target, old);
    await fs.unlink("/versioned");
    assert.equal(await handle.readInto(target, 0), old.length);
    assertSame(target, old);
  });

  it("sends the chunks of zeros of a sparse file once", async () => {
    const bytes = new Uint8Array(8 * MIB + 100);
    bytes.set(someBytes(MIB), 3 * MIB + 70_000);
    const result = await fs.writeFile("/sparse", bytes, { chunkSizeBytes: MIB });
    assert.equal(result.chunkCount, 9);
    assert.ok(result.sentBytes < 4 * MIB, `${result.sentBytes} bytes were sent`);
    assertSame(await fs.readFile("/sparse"), bytes);
  });

  it("publishes a file of many chunks without a list of them", async () => {
    const zeros = new Uint8Array(2 * MIB);
    const end = someBytes(70_000);
    async function* source(pairs: number): AsyncGenerator<Uint8Array> {
      for (let pair = 0; pair < pairs; pair += 1) yield zeros;
      yield end;
    }
    for (const pairs of [140, 520]) {
      const path = `/many-chunks-${pairs}`;
      const result = await fs.writeFile(path, source(pairs), { chunkSizeBytes: MIB });
      assert.equal(result.chunkCount, 2 * pairs + 1);
      const stats = await fs.stat(path);
      assert.ok(stats.kind === "file");
      assert.equal(toHex(stats.contentRoot), toHex(result.contentRoot));
      const sizeBytes = 2 * pairs * MIB + end.length;
      const tail = { start: sizeBytes - end.length - 10, end: sizeBytes };
      const expected = new Uint8Array(end.length + 10);
      expected.set(end, 10);
      assertSame(await fs.readFile(path, tail), expected);
      for await (const verified of fs.verify(path)) assert.equal(verified.isReadable, true);
    }
    assert.equal((await fs.status()).namespace.stagedBytes, 0);
  });

  it("neither hashes nor requests the zeros of a sparse file", async () => {
    const env = makeEnv(new MemoryLog());
    let hashedBytes = 0;
    const hasher: Hasher = {
      hash: (bytes) => {
        hashedBytes += bytes.length;
        return env.hasher.hash(bytes);
      },
      deriveKey: (context, material) => env.hasher.deriveKey(context, material),
      keyedHash: (key, bytes) => env.hasher.keyedHash(key, bytes),
      stream: () => env.hasher.stream(),
    };
    const client = await cluster.connect({ env: { ...env, hasher } });
    const bytes = new Uint8Array(32 * MIB + 100);
    bytes.set(someBytes(MIB), 3 * MIB + 70_000);
    await client.writeFile("/holes", bytes, { chunkSizeBytes: 2 * MIB });
    assert.ok(hashedBytes < 5 * MIB, `${hashedBytes} bytes were hashed to write the file`);
    hashedBytes = 0;
    assertSame(await client.readFile("/holes"), bytes);
    assert.ok(hashedBytes < 6 * MIB, `${hashedBytes} bytes were hashed to read the file`);
    const part = { start: 7 * MIB - 3, end: 20 * MIB + 5 };
    assertSame(await client.readFile("/holes", part), bytes.subarray(part.start, part.end));
  });

  it("computes the checksum that b3sum prints", async () => {
    const bytes = someBytes(MIB + 17);
    await fs.writeFile("/summed", bytes);
    const { blake3: digest, sizeBytes } = await fs.checksum("/summed");
    assert.equal(digest, toHex(blake3(bytes)));
    assert.equal(sizeBytes, bytes.length);
  });

  it("rejects an invalid target before most of the source is read", async () => {
    let pulledBytes = 0;
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) {
        pulledBytes += MIB;
        yield someBytes(MIB);
      }
    }
    await fs.writeFile("/taken", "there");
    const write = fs.writeFile("/taken", endless(), { replace: false });
    await assert.rejects(write, (error) => isAshlarError(error, "ALREADY_EXISTS"));
    const orphan = fs.writeFile("/no/such/directory", endless());
    await assert.rejects(orphan, (error) => isAshlarError(error, "NOT_FOUND"));
    assert.ok(pulledBytes <= 16 * MIB, `${pulledBytes} bytes were read`);
  });

  it("reports progress that never decreases", async () => {
    const seen: number[] = [];
    const bytes = someBytes(5 * MIB);
    await fs.writeFile("/progress", bytes, {
      chunkSizeBytes: MIB,
      onProgress: (count) => seen.push(count),
    });
    assert.equal(seen.at(-1), bytes.length);
    assert.deepEqual(
      seen,
      seen.toSorted((left, right) => left - right),
    );
  });

  it("leaves no listener on a signal that many calls share", async () => {
    const { signal } = new AbortController();
    const bytes = someBytes(3 * MIB);
    await fs.writeFile("/shared-signal", bytes, { signal });
    await fs.readFile("/shared-signal", { signal });
    await fs.checksum("/shared-signal", { signal });
    for await (const slab of fs.readSlabs("/shared-signal", { signal })) {
      slab.release();
      break;
    }
    for await (const _ of fs.verify("/shared-signal", { signal, allReplicas: true }));
    for await (const _ of fs.walk("/", { signal }));
    const stream = fs.createReadStream("/shared-signal", { signal });
    await once(stream, "readable");
    stream.destroy();
    await once(stream, "close");
    assert.equal(getEventListeners(signal, "abort").length, 0);
  });

  it("writes many files concurrently", async () => {
    const contents = Array.from({ length: 60 }, (_, position) => someBytes(position * 37_000));
    await fs.mkdir("/many");
    await Promise.all(contents.map((bytes, position) => fs.writeFile(`/many/${position}`, bytes)));
    const read = await Promise.all(contents.map((_, position) => fs.readFile(`/many/${position}`)));
    for (const [position, bytes] of read.entries())
      assertSame(bytes, contents[position] as Uint8Array);
  });
});
