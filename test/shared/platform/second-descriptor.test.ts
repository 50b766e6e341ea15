import assert from "node:assert/strict";
import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import { readdir, readlink } from "node:fs/promises";
import { describe, it } from "node:test";
import { NodeDisk } from "../../../shared/platform/node-disk.ts";
import { isAtPage, PageMemory } from "../../../shared/platform/page-memory.ts";
import { directBytesOf, SecondDescriptor } from "../../../shared/platform/second-descriptor.ts";
import type { CacheUse } from "../../../shared/ports/disk.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { TempDirectory } from "../../support/temp-directory.ts";

const KIB = 1024;

/** Returns the bytes that this process has read from storage and not from the page cache: proc(5). */
function storageBytesRead(): number {
  return Number(/^read_bytes: (\d+)$/m.exec(readFileSync("/proc/self/io", "utf8"))?.[1]);
}

describe("PageMemory", () => {
  it("aligns large buffers to pages, even after the first arena is full", () => {
    const memory = new PageMemory();
    for (let count = 0; count < 40; count += 1) {
      const bytes = memory.allocate(1000 * KIB + count);
      assert.equal(bytes.length, 1000 * KIB + count);
      assert.ok(isAtPage(bytes));
      assert.ok(!isAtPage(bytes.subarray(1)));
      assert.ok(isAtPage(bytes.subarray(8192)));
    }
    assert.ok(isAtPage(memory.allocate(64 * 1024 * KIB)), "a buffer larger than an arena");
    assert.ok(!isAtPage(new Uint8Array(1000 * KIB)), "the alignment of other memory is unknown");
  });

  it("never allocates the same bytes twice", () => {
    const memory = new PageMemory();
    const buffers = Array.from({ length: 30 }, (_, index) =>
      memory.allocate((129 + index) * KIB).fill(index),
    );
    for (const [index, bytes] of buffers.entries()) {
      assert.ok(bytes.every((byte) => byte === index));
    }
  });
});

describe("direct I/O", () => {
  it("is used for whole pages of large buffers at page boundaries", () => {
    const bytes = new PageMemory().allocate(512 * KIB);
    assert.equal(directBytesOf(bytes, 4096), 512 * KIB);
    assert.equal(directBytesOf(bytes.subarray(0, 300_000), 0), 73 * 4096);
    assert.equal(directBytesOf(bytes, 100), 0, "a file offset between pages");
    assert.equal(directBytesOf(bytes.subarray(512), 0), 0, "memory between pages");
    assert.equal(directBytesOf(bytes.subarray(0, 64 * KIB), 0), 0, "a small one");
    assert.equal(directBytesOf(new Uint8Array(512 * KIB), 0), 0, "memory of unknown alignment");
  });

  it("gives the same file content as the page cache in any mix of both", async () => {
    await using directory = await TempDirectory.make();
    const disk = new NodeDisk(directory.path);
    const random = new SeededRandom(3);
    const file = await disk.open("f", "create");
    const expected = new Uint8Array(2048 * KIB);
    const buffer = disk.allocate(700 * KIB);
    let endBytes = 0;
    for (let round = 0; round < 150; round += 1) {
      const use: CacheUse = random.fraction() < 0.6 ? "pass" : "keep";
      const offset = random.integer(320) * 4096 + (random.fraction() < 0.2 ? 77 : 0);
      const bytes = buffer.subarray(0, 1 + random.integer(buffer.length - 1));
      if (random.fraction() < 0.5) {
        bytes.fill(1 + random.integer(255));
        await file.write([bytes], offset, use);
        expected.set(bytes, offset);
        endBytes = Math.max(endBytes, offset + bytes.length);
        continue;
      }
      const count = await file.read(bytes, offset, random.fraction() < 0.3 ? "disk" : use);
      assert.equal(count, Math.max(0, Math.min(bytes.length, endBytes - offset)));
      const part = expected.subarray(offset, offset + count);
      assert.ok(Buffer.from(bytes.buffer, bytes.byteOffset, count).equals(part));
    }
    await file.sync();
    await file.close();
    const found = await disk.readFile("f");
    assert.ok(Buffer.from(found).equals(expected.subarray(0, endBytes)));
  });

  it("reads from the disk and not from the cache if asked to, at any offset and length", async (context) => {
    await using directory = await TempDirectory.make();
    const disk = new NodeDisk(directory.path);
    const file = await disk.open("f", "create");
    const content = disk.allocate(256 * KIB);
    for (let index = 0; index < content.length; index += 1) content[index] = index % 251;
    await file.write([content], 0);
    await file.sync();
    const read = async (offset: number, lengthBytes: number, use: CacheUse): Promise<number> => {
      const before = storageBytesRead();
      const target = new Uint8Array(lengthBytes);
      assert.equal(await file.read(target, offset, use), lengthBytes);
      assert.ok(Buffer.from(target).equals(content.subarray(offset, offset + lengthBytes)));
      return storageBytesRead() - before;
    };
    if ((await read(0, 4096, "disk")) === 0) {
      await file.close();
      context.skip("the file system of the test directory has no direct I/O");
      return;
    }
    assert.equal(await read(5000, 3000, "keep"), 0, "the cache has the bytes");
    for (const [offset, lengthBytes] of [
      [5000, 3000],
      [0, 10],
      [256 * KIB - 100, 100],
      [4095, 200_000],
    ] as const) {
      assert.ok((await read(offset, lengthBytes, "disk")) >= lengthBytes);
    }
    await file.close();
  });

  it("keeps a descriptor open that the file system refused, as long as calls use it", async () => {
    await using directory = await TempDirectory.make();
    const path = `${directory.path}/f`;
    const descriptor = openSync(path, "w+");
    const second = new SecondDescriptor(descriptor, constants.O_RDWR, constants.O_DSYNC);
    const used = await second.get();
    assert.ok(used !== null);
    second.disable();
    assert.equal(await second.get(), null);
    assert.equal(fstatSync(used).ino, fstatSync(descriptor).ino);
    await second.close();
    assert.throws(() => fstatSync(used), /EBADF/);
    closeSync(descriptor);
  });

  it("makes a durable write and the writes before it durable in one step", async () => {
    await using directory = await TempDirectory.make();
    const disk = new NodeDisk(directory.path);
    const file = await disk.open("f", "create");
    await file.write([new Uint8Array(10_000).fill(1)], 0);
    await file.writeDurably(new Uint8Array(5_000).fill(2), 9_000);
    await file.close();
    const found = await disk.readFile("f");
    assert.equal(found.length, 14_000);
    assert.ok(found.subarray(0, 9_000).every((byte) => byte === 1));
    assert.ok(found.subarray(9_000).every((byte) => byte === 2));
  });

  it("leaves no descriptor open", async () => {
    await using directory = await TempDirectory.make();
    const disk = new NodeDisk(directory.path);
    const file = await disk.open("f", "create");
    await file.write([disk.allocate(256 * KIB)], 0, "pass");
    await file.writeDurably(new Uint8Array(10), 0);
    assert.ok((await descriptorsBelow(directory.path)).length >= 1);
    await file.close();
    assert.deepEqual(await descriptorsBelow(directory.path), []);
  });
});

/** Returns the open files of this process below `path`: proc(5). */
async function descriptorsBelow(path: string): Promise<string[]> {
  const numbers = await readdir("/proc/self/fd");
  const links = await Promise.all(
    numbers.map((number) => readlink(`/proc/self/fd/${number}`).catch(() => "")),
  );
  return links.filter((link) => link.startsWith(path));
}
