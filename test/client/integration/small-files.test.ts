import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { toHex } from "../../../shared/base/bytes.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { LoopbackCluster } from "../support/loopback-cluster.ts";

const random = new SeededRandom(3);

/** Returns bytes that differ between files. */
function bytesOf(file: number, lengthBytes: number): Uint8Array {
  const bytes = new Uint8Array(lengthBytes).fill(file);
  bytes.set(new TextEncoder().encode(`file ${file} of ${lengthBytes} bytes`));
  return bytes;
}

describe("small files of one client", () => {
  it("have their contents, results and progress, with all sizes and directories", async () => {
    await using cluster = await LoopbackCluster.start(3);
    const retried: string[] = [];
    await using fs = await cluster.connect({
      onRetry: ({ operation, error }) => retried.push(`${operation}: ${error.message}`),
    });
    const sizes = [4_097, 65_536, 65_537, 300_000, 1024 * 1024, 1024 * 1024 + 1];
    for (const directory of ["/a", "/b"]) await fs.mkdir(directory);
    const files = Array.from({ length: 120 }, (_, number) => ({
      path: `/${number % 3 === 0 ? "a" : "b"}/${number}`,
      bytes: bytesOf(number, sizes[number % sizes.length] ?? 0),
    }));
    const progress: number[] = [];
    const results = await Promise.all(
      files.map(({ path, bytes }, number) =>
        fs.writeFile(path, bytes, {
          onProgress: (count) => {
            progress[number] = count;
          },
        }),
      ),
    );
    for (const [number, { path, bytes }] of files.entries()) {
      const result = results[number];
      assert.equal(Buffer.compare(await fs.readFile(path), bytes), 0, path);
      assert.equal(progress[number], bytes.length);
      const { contentRoot } = await fs.checksum(path);
      assert.equal(toHex(result?.contentRoot ?? new Uint8Array()), contentRoot);
      assert.deepEqual(
        [result?.sizeBytes, result?.chunkCount, result?.sentBytes, result?.chunksUnderReplicated],
        [bytes.length, 1, bytes.length, 0],
      );
    }
    assert.deepEqual(retried, []);
  });

  it("may have the content of each other, of a removed file, and of zeros", async () => {
    await using cluster = await LoopbackCluster.start(3);
    await using fs = await cluster.connect();
    const bytes = bytesOf(1, 100_000);
    const contents = [bytes, bytes, new Uint8Array(70_000), new Uint8Array(70_000), bytes];
    await Promise.all(contents.map((content, number) => fs.writeFile(`/${number}`, content)));
    for (const [number, content] of contents.entries()) {
      assert.equal(Buffer.compare(await fs.readFile(`/${number}`), content), 0);
    }
    for (let round = 0; round < 5; round += 1) {
      for (const number of contents.keys()) await fs.unlink(`/${number}`);
      await fs.writeFile("/0", bytes);
      for (const number of [1, 2, 3, 4])
        await fs.writeFile(`/${number}`, contents[number] ?? bytes);
    }
    for (const [number, content] of contents.entries()) {
      assert.equal(Buffer.compare(await fs.readFile(`/${number}`), content), 0);
    }
  });

  it("have the copies of the storage class of their directory, also just after a change", async () => {
    await using cluster = await LoopbackCluster.start(3);
    await using fs = await cluster.connect();
    await fs.defineStorageClass({ name: "one", copies: 1, copiesMin: 1, racksMin: 1 });
    await fs.defineStorageClass({ name: "three", copies: 3, copiesMin: 3, racksMin: 1 });
    await fs.mkdir("/d");
    const copiesOf = async (path: string): Promise<number> => {
      const { chunksUnderReplicated } = await fs.writeFile(path, random.bytes(20_000));
      assert.equal(chunksUnderReplicated, 0);
      let count = 0;
      for await (const result of fs.verify(path, { allReplicas: true })) {
        if (result.kind === "chunk") count += result.replicas.length;
      }
      return count;
    };
    for (const [storageClass, copies] of [
      ["one", 1],
      ["three", 3],
      ["one", 1],
    ] as const) {
      await fs.setStorageClass("/d", storageClass);
      assert.equal(await copiesOf(`/d/${storageClass}-${random.integer(1e9)}`), copies);
    }
  });
});
