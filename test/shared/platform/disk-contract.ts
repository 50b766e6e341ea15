import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { type ErrorCode, isAshlarError } from "../../../shared/base/errors.ts";
import type { Disk, DiskFile } from "../../../shared/ports/disk.ts";

/** An empty data directory. */
export interface DiskUnderTest extends AsyncDisposable {
  readonly disk: Disk;
}

function bytes(...values: readonly number[]): Uint8Array {
  return Uint8Array.from(values);
}

const failsWith = (code: ErrorCode) => (error: unknown) => isAshlarError(error, code);

async function contentOf(file: DiskFile): Promise<Uint8Array> {
  const { lengthBytes } = await file.size();
  const target = new Uint8Array(lengthBytes);
  assert.equal(await file.read(target, 0), lengthBytes);
  return target;
}

async function writeFile(disk: Disk, path: string, content: Uint8Array): Promise<void> {
  const file = await disk.open(path, "create");
  await file.write([content], 0);
  await file.close();
}

function testFiles(make: () => Promise<DiskUnderTest>): void {
  it("reads the bytes that were written in parts and at offsets, and zeros between them", async () => {
    await using fixture = await make();
    const file = await fixture.disk.open("f", "create");
    await file.write([bytes(1, 2), bytes(), bytes(3)], 4);
    await file.write([bytes(9)], 1);
    assert.deepEqual(await contentOf(file), bytes(0, 9, 0, 0, 1, 2, 3));
    await file.write([], 0);
    await file.write([bytes(), bytes()], 100);
    assert.equal((await file.size()).lengthBytes, 7);
    await file.sync();
    await file.close();
  });

  it("writes thousands of parts in one call, more than one writev(2) accepts", async () => {
    await using fixture = await make();
    const file = await fixture.disk.open("f", "create");
    const parts = Array.from({ length: 5000 }, (_, i) => bytes(i & 255, i >> 8));
    await file.write(parts, 3);
    const expected = new Uint8Array(10_003);
    for (const [i, part] of parts.entries()) expected.set(part, 3 + 2 * i);
    assert.deepEqual(await contentOf(file), expected);
    await file.close();
  });

  it("reads fewer bytes only at the end of the file", async () => {
    await using fixture = await make();
    const file = await fixture.disk.open("f", "create");
    await file.write([bytes(1, 2, 3)], 0);
    const target = new Uint8Array(5).fill(7);
    assert.equal(await file.read(target, 1), 2);
    assert.deepEqual(target, bytes(2, 3, 7, 7, 7));
    assert.equal(await file.read(target, 3), 0);
    assert.equal(await file.read(target, 1000), 0);
    assert.equal(await file.read(new Uint8Array(0), 0), 0);
    await file.close();
  });

  it("writes through views of a larger buffer", async () => {
    await using fixture = await make();
    const file = await fixture.disk.open("f", "create");
    const whole = Uint8Array.from({ length: 100 }, (_, i) => i);
    await file.write([whole.subarray(10, 12), whole.subarray(50, 51)], 0);
    const target = new Uint8Array(100);
    assert.equal(await file.read(target.subarray(20, 40), 0), 3);
    assert.deepEqual(target.subarray(19, 24), bytes(0, 10, 11, 50, 0));
    await file.close();
  });

  it("truncates and grows a file, and reads zeros in the truncated part", async () => {
    await using fixture = await make();
    const file = await fixture.disk.open("f", "create");
    await file.write([bytes(1, 2, 3, 4)], 0);
    await file.truncate(2);
    await file.truncate(4);
    assert.deepEqual(await contentOf(file), bytes(1, 2, 0, 0));
    await file.truncate(200_000);
    const target = new Uint8Array(200_000).fill(9);
    assert.equal(await file.read(target, 0), 200_000);
    assert.deepEqual([target.findLastIndex((byte) => byte !== 0), target[1]], [1, 2]);
    await file.close();
  });

  it("reads, writes and syncs one file concurrently", async () => {
    await using fixture = await make();
    const file = await fixture.disk.open("f", "create");
    const block = (i: number): Uint8Array => new Uint8Array(4096).fill(i);
    await Promise.all(
      Array.from({ length: 64 }, async (_, i) => {
        await file.write([block(i)], i * 4096);
        await file.sync();
        const target = new Uint8Array(4096);
        assert.equal(await file.read(target, i * 4096), 4096);
        assert.deepEqual(target, block(i));
      }),
    );
    const { lengthBytes, allocatedBytes } = await file.size();
    assert.equal(lengthBytes, 64 * 4096);
    assert.ok(allocatedBytes >= 0);
    await file.close();
  });

  it("asserts that a closed file is not used", async () => {
    await using fixture = await make();
    const file = await fixture.disk.open("f", "create");
    await file.close();
    const bug = { name: /AssertionError/ };
    await assert.rejects(async () => file.read(new Uint8Array(1), 0), bug);
    await assert.rejects(async () => file.write([bytes(1)], 0), bug);
    await assert.rejects(async () => file.sync(), bug);
    await assert.rejects(async () => file.close(), bug);
  });

  it("agrees with an array after any writes, truncations and reads", async () => {
    await using fixture = await make();
    // Some offsets are a little below 64 KiB and 128 KiB, the ends of pages in memory.
    const offset = (max: number) =>
      fc.tuple(fc.constantFrom(0, 65_400, 131_000), fc.nat(max)).map(([base, more]) => base + more);
    const step = fc.oneof(
      fc.record({
        kind: fc.constant("write" as const),
        offset: offset(300),
        parts: fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 5 }),
      }),
      fc.record({ kind: fc.constant("truncate" as const), length: offset(400) }),
    );
    let runs = 0;
    const property = fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
      runs += 1;
      const file = await fixture.disk.open(`f${runs}`, "create");
      const model = new Uint8Array(140_000);
      let length = 0;
      for (const one of steps) {
        if (one.kind === "truncate") {
          await file.truncate(one.length);
          length = one.length;
          model.fill(0, length);
          continue;
        }
        await file.write(one.parts, one.offset);
        let end = one.offset;
        for (const part of one.parts) {
          model.set(part, end);
          end += part.length;
        }
        if (end > one.offset) length = Math.max(length, end);
      }
      assert.deepEqual(await contentOf(file), model.subarray(0, length));
      await file.close();
    });
    await fc.assert(property, { numRuns: 50 });
  });
}

function testNames(make: () => Promise<DiskUnderTest>): void {
  it("fails with NOT_FOUND and ALREADY_EXISTS, and with the path in the message", async () => {
    await using fixture = await make();
    const { disk } = fixture;
    const named = (code: ErrorCode) => (error: unknown) =>
      isAshlarError(error, code) && error.message.includes("d/f");
    await assert.rejects(disk.open("d/f", "read"), named("NOT_FOUND"));
    await assert.rejects(disk.open("d/f", "create"), named("NOT_FOUND"));
    await assert.rejects(disk.readFile("d/f"), named("NOT_FOUND"));
    await assert.rejects(disk.list("d/f"), named("NOT_FOUND"));
    await assert.rejects(disk.rename("d/f", "e"), named("NOT_FOUND"));
    await disk.makeDirectory("d");
    await writeFile(disk, "d/f", bytes(1));
    await assert.rejects(disk.open("d/f", "create"), named("ALREADY_EXISTS"));
    await assert.rejects(disk.makeDirectory("d/f"), named("ALREADY_EXISTS"));
    await assert.rejects(disk.open("d", "read-write"), failsWith("DISK_FAILED"));
  });

  it("asserts that a path stays in the directory and is normalized", async () => {
    await using fixture = await make();
    const { disk } = fixture;
    const bug = { name: /AssertionError/ };
    for (const path of ["..", "../x", "a/../../x", "/etc/passwd", "a//b", "a/", "./a", "a\0b"]) {
      await assert.rejects(async () => disk.open(path, "read"), bug, path);
      await assert.rejects(async () => disk.readFile(path), bug, path);
      await assert.rejects(async () => disk.removeTree(path), bug, path);
    }
    await assert.rejects(async () => disk.removeTree(""), bug);
  });

  it("creates directories with their parents, and accepts existing directories", async () => {
    await using fixture = await make();
    const { disk } = fixture;
    await disk.makeDirectory("a/b/c");
    await disk.makeDirectory("a/b/c");
    await disk.makeDirectory(".");
    assert.deepEqual(await disk.list("a/b"), [{ name: "c", kind: "directory" }]);
    assert.deepEqual(await disk.list("a/b/c"), []);
  });

  it("lists names sorted by code unit", async () => {
    await using fixture = await make();
    const { disk } = fixture;
    for (const name of ["b", "a", "Z", "10", "9", "é"]) await writeFile(disk, name, bytes());
    await disk.makeDirectory("dir");
    const expected = ["10", "9", "Z", "a", "b", "dir", "é"];
    assert.deepEqual(
      (await disk.list(".")).map(({ name }) => name),
      expected,
    );
    assert.deepEqual(await disk.list(""), await disk.list("."));
  });

  it("renames over an existing file, and an open reader still reads the old content", async () => {
    await using fixture = await make();
    const { disk } = fixture;
    await disk.makeDirectory("d");
    await writeFile(disk, "a", bytes(1));
    await writeFile(disk, "d/b", bytes(2));
    const old = await disk.open("d/b", "read");
    await disk.rename("a", "d/b");
    await disk.syncDirectory("d");
    assert.deepEqual(await disk.readFile("d/b"), bytes(1));
    assert.deepEqual(await contentOf(old), bytes(2));
    await assert.rejects(disk.readFile("a"), failsWith("NOT_FOUND"));
    await old.close();
  });

  it("removes files and trees, and ignores missing ones", async () => {
    await using fixture = await make();
    const { disk } = fixture;
    await disk.makeDirectory("d/e");
    await writeFile(disk, "d/e/f", bytes(1));
    await writeFile(disk, "g", bytes(1));
    await disk.remove("g");
    await disk.remove("g");
    await assert.rejects(disk.remove("d"), failsWith("DISK_FAILED"));
    await disk.removeTree("d");
    await disk.removeTree("d");
    assert.deepEqual(await disk.list("."), []);
  });

  it("replaces a small file atomically, and leaves no temporary file", async () => {
    await using fixture = await make();
    const { disk } = fixture;
    await disk.makeDirectory("d");
    await disk.writeFileDurably("d/id", bytes(1, 2, 3));
    await disk.writeFileDurably("d/id", bytes(4));
    await disk.writeFileDurably("empty", bytes());
    assert.deepEqual(await disk.readFile("d/id"), bytes(4));
    assert.deepEqual(await disk.readFile("empty"), bytes());
    assert.deepEqual(await disk.list("d"), [{ name: "id", kind: "file" }]);
    await assert.rejects(disk.writeFileDurably("no/id", bytes(1)), failsWith("NOT_FOUND"));
  });

  it("returns the space of its file system", async () => {
    await using fixture = await make();
    const { totalBytes, availableBytes } = await fixture.disk.space();
    assert.ok(totalBytes > 0);
    assert.ok(availableBytes >= 0 && availableBytes <= totalBytes);
  });
}

/** Defines the tests that every implementation of Disk must pass. */
export function testDisk(make: () => Promise<DiskUnderTest>): void {
  testFiles(make);
  testNames(make);
}
