import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { LoopbackCluster } from "../support/loopback-cluster.ts";

const MIB = 1024 * 1024;
/** More than the buffers of the client and the memory of the servers have room for at a time. */
const FILES = 48;

/** Returns bytes that differ between files. */
function bytesOf(file: number): Uint8Array {
  const bytes = new Uint8Array(5 * MIB).fill(file);
  for (let offset = 0; offset < bytes.length; offset += 4096) bytes[offset] = offset / 4096 + file;
  return bytes;
}

describe("many files that one client writes at once", () => {
  it("are all written, without a broken chain", async () => {
    const retried: string[] = [];
    await using cluster = await LoopbackCluster.start(3);
    await using fs = await cluster.connect({
      onRetry: ({ operation, error }) => retried.push(`${operation}: ${error.message}`),
    });
    const paths = Array.from({ length: FILES }, (_, file) => `/file-${file}`);
    await Promise.all(paths.map((path, file) => fs.writeFile(path, bytesOf(file))));
    for (const file of [0, FILES / 2, FILES - 1]) {
      const read = await fs.readFile(paths[file] ?? "");
      assert.equal(Buffer.compare(read, bytesOf(file)), 0, paths[file]);
    }
    assert.deepEqual(retried, []);
  });
});
