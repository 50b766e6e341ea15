import assert from "node:assert/strict";
import { stat } from "node:fs/promises";
import { describe, it } from "node:test";
import { isAshlarError } from "../../../shared/base/errors.ts";
import { NodeDisk } from "../../../shared/platform/node-disk.ts";
import { TempDirectory } from "../../support/temp-directory.ts";
import { testDisk } from "./disk-contract.ts";

describe("node disk (Disk contract)", () => {
  testDisk(async () => {
    const directory = await TempDirectory.make();
    return {
      disk: new NodeDisk(directory.path),
      [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
    };
  });
});

describe("node disk", () => {
  it("does not create its directory by itself, so that an unmounted disk is not empty", async () => {
    await using directory = await TempDirectory.make();
    const disk = new NodeDisk(`${directory.path}/not/mounted`);
    const notFound = (error: unknown): boolean => isAshlarError(error, "NOT_FOUND");
    await assert.rejects(disk.list("."), notFound);
    await assert.rejects(disk.list("."), /Cannot .*: no such file or directory$/);
    await assert.rejects(disk.open("f", "create"), notFound);
    await assert.rejects(disk.writeFileDurably("f", new Uint8Array(1)), notFound);
    await disk.makeDirectory(".");
    assert.deepEqual(await disk.list("."), []);
  });

  it("creates small durable files that only their owner can read", async () => {
    await using directory = await TempDirectory.make();
    await new NodeDisk(directory.path).writeFileDurably("key", new Uint8Array(32));
    assert.equal((await stat(`${directory.path}/key`)).mode & 0o777, 0o600);
  });

  it("closes a file after its pending calls, so that no call uses a reused descriptor", async () => {
    await using directory = await TempDirectory.make();
    const disk = new NodeDisk(directory.path);
    const file = await disk.open("f", "create");
    const part = new Uint8Array(4 * 1024 * 1024).fill(1);
    const writes = [0, 1, 2, 3].map((i) => file.write([part], i * part.length));
    await file.close();
    await Promise.all(writes);
    assert.equal((await disk.readFile("f")).length, 4 * part.length);
  });
});
