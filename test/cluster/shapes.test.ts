import assert from "node:assert/strict";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { LocalSource } from "../../client/cli/local/local-source.ts";
import { LocalPath } from "../../client/cli/local-path.ts";
import { randomBytes } from "../../scripts/sample-tree.ts";
import { equalBytes } from "../../shared/base/bytes.ts";
import { shareCluster } from "../support/shared-cluster.ts";
import type { StartedCluster } from "../support/started-cluster.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

describe("files and trees of unusual shape", () => {
  let started: StartedCluster;
  before(async () => {
    started = await shareCluster();
  });
  after(async () => {
    await started[Symbol.asyncDispose]();
  });

  it("puts and reads a sparse file of 5 GiB without sending its holes", async () => {
    const { fileSystem, work } = started;
    const path = join(work, "sparse");
    const sizeBytes = 5 * GIB;
    const island = randomBytes(3 * MIB, 31);
    const islandOffset = 2 * GIB + 12_345;
    const file = await open(path, "w+");
    await file.truncate(sizeBytes);
    await file.write(island, 0, island.length, islandOffset);
    await file.close();
    const { signal } = new AbortController();
    await using source = await LocalSource.open(new LocalPath(Buffer.from(path)), { signal });
    const result = await fileSystem.writeFile("/sparse", source, { sizeHint: sizeBytes });
    assert.equal(result.sizeBytes, sizeBytes);
    assert.ok(result.sentBytes < 300 * MIB, `${result.sentBytes} bytes were sent`);
    const around = { start: islandOffset - 100, end: islandOffset + island.length + 100 };
    const read = await fileSystem.readFile("/sparse", around);
    assert.ok(equalBytes(read.subarray(100, 100 + island.length), island));
    assert.ok([...read.subarray(0, 100), ...read.subarray(-100)].every((byte) => byte === 0));
    const end = await fileSystem.readFile("/sparse", { start: sizeBytes - 10, end: sizeBytes });
    assert.deepEqual(
      [...end],
      Array.from({ length: 10 }, () => 0),
    );
  });

  it("lists 10,000 files of one directory once each, in byte order", async () => {
    const { fileSystem } = started;
    await fileSystem.mkdir("/many");
    const numbers = Array.from({ length: 10_000 }, (_, index) => index);
    const workers = Array.from({ length: 64 }, async () => {
      for (let next = numbers.pop(); next !== undefined; next = numbers.pop()) {
        await fileSystem.create(`/many/${next}`);
      }
    });
    await Promise.all(workers);
    const names: string[] = [];
    for await (const entry of fileSystem.list("/many")) names.push(entry.displayName);
    assert.equal(names.length, 10_000);
    assert.deepEqual(names, [...new Set(names)].sort());
    await fileSystem.removeTree("/many");
    await assert.rejects(fileSystem.stat("/many"), { code: "NOT_FOUND" });
  });

  it("makes, walks and removes a tree that is 500 levels deep", async () => {
    const { fileSystem } = started;
    const path = `/deep${"/d".repeat(499)}`;
    await fileSystem.mkdir(path, { parents: true });
    await fileSystem.writeFile(`${path}/bottom`, "reached");
    let deepest = 0;
    for await (const entry of fileSystem.walk("/deep")) deepest = Math.max(deepest, entry.depth);
    assert.equal(deepest, 500);
    assert.equal(Buffer.from(await fileSystem.readFile(`${path}/bottom`)).toString(), "reached");
    await fileSystem.removeTree("/deep");
    await assert.rejects(fileSystem.stat("/deep"), { code: "NOT_FOUND" });
  });

  it("keeps names with newlines, control characters and bytes that are not UTF-8", async () => {
    const { fileSystem } = started;
    const names = [
      Buffer.from("new\nline"),
      Buffer.from([0xff, 0xfe, 0x80]),
      Buffer.from([0xc3, 0x28]),
      Buffer.from(" leading and trailing "),
      Buffer.from("*?[]{}\\'\"$`"),
      Buffer.from([1, 2, 3, 27]),
      Buffer.alloc(255, 0x61),
    ];
    await fileSystem.mkdir("/names");
    for (const name of names) {
      await fileSystem.writeFile(Buffer.concat([Buffer.from("/names/"), name]), name);
    }
    const listed: Buffer[] = [];
    for await (const entry of fileSystem.list("/names")) listed.push(Buffer.from(entry.name));
    assert.deepEqual(listed, [...names].sort(Buffer.compare));
    for (const name of names) {
      const read = await fileSystem.readFile(Buffer.concat([Buffer.from("/names/"), name]));
      assert.ok(equalBytes(read, name));
    }
  });
});
