import assert from "node:assert/strict";
import { open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { FileSystem } from "../../../client/file-system.ts";
import type { RetryEvent } from "../../../client/options.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import { SystemClock } from "../../../shared/platform/system-clock.ts";
import type { Disk, DiskFile } from "../../../shared/ports/disk.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { eventually, LoopbackCluster } from "../support/loopback-cluster.ts";

const MIB = 1024 * 1024;
const clock = new SystemClock();
const random = new SeededRandom(7);

function someBytes(count: number): Uint8Array {
  const bytes = new Uint8Array(count);
  for (let offset = 0; offset < count; offset += 4096) {
    bytes.set(random.bytes(Math.min(8, count - offset)), offset);
  }
  return bytes;
}

function assertSame(actual: Uint8Array, expected: Uint8Array): void {
  assert.equal(Buffer.compare(actual, expected), 0, "the bytes equal the written bytes");
}

/** Yields `bytes` in pieces of 1 MiB. Runs the action `at[n]` before piece `n`. */
async function* interrupted(
  bytes: Uint8Array,
  at: Readonly<Record<number, () => Promise<void>>>,
): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < bytes.length; offset += MIB) {
    await at[offset / MIB]?.();
    yield bytes.subarray(offset, offset + MIB);
  }
}

/** Flips a bit in every extent file of at least `sizeMin` bytes. Resolves with their number. */
async function corrupt(directory: string, sizeMin: number, offset: number): Promise<number> {
  let count = 0;
  for (const name of await readdir(directory, { recursive: true })) {
    if (name.startsWith("stores")) continue;
    const path = join(directory, name);
    const facts = await stat(path);
    if (!facts.isFile() || facts.size < sizeMin) continue;
    const file = await open(path, "r+");
    const byte = new Uint8Array(1);
    await file.read(byte, 0, 1, offset);
    byte[0] = (byte[0] as number) ^ 1;
    await file.write(byte, 0, 1, offset);
    await file.close();
    count += 1;
  }
  return count;
}

/** Returns a wrapper of disks that delays every read by `delayMs` while `isSlow()`. */
function slowable(isSlow: () => boolean, delayMs: number): (disk: Disk) => Disk {
  const slow = (file: DiskFile): DiskFile =>
    new Proxy(file, {
      get: (target, property) => {
        const value = Reflect.get(target, property) as unknown;
        if (typeof value !== "function") return value;
        if (property !== "read") return value.bind(target);
        return async (...parameters: unknown[]) => {
          if (isSlow()) await clock.sleep(delayMs);
          return Reflect.apply(value, target, parameters) as unknown;
        };
      },
    });
  return (disk) =>
    new Proxy(disk, {
      get: (target, property) => {
        const value = Reflect.get(target, property) as unknown;
        if (typeof value !== "function") return value;
        if (property !== "open") return value.bind(target);
        return async (...parameters: unknown[]) =>
          slow((await Reflect.apply(value, target, parameters)) as DiskFile);
      },
    });
}

/** Resolves with the ids of the servers with good replicas of a file. */
async function goodReplicasOf(fs: FileSystem, path: string): Promise<readonly string[]> {
  const ids = new Set<string>();
  for await (const result of fs.verify(path, { allReplicas: true })) {
    if (result.kind !== "chunk") continue;
    for (const { serverId, isGood } of result.replicas) if (isGood) ids.add(serverId as string);
  }
  return [...ids];
}

describe("file writes during failures", () => {
  it("completes a write when a server of the chain stops in the middle of a chunk", async () => {
    await using cluster = await LoopbackCluster.start(4);
    const retries: RetryEvent[] = [];
    const fs = await cluster.connect({ onRetry: (event) => retries.push(event) });
    const bytes = someBytes(16 * MIB + 999);
    for (const victim of [0, 1]) {
      let ackedBytes = 0;
      const source = interrupted(bytes, {
        6: async () => {
          await eventually("the chain is open", () => ackedBytes > 0);
          await cluster.servers[victim]?.stop();
        },
        7: () => clock.sleep(50),
      });
      const onProgress = (count: number): void => {
        ackedBytes = count;
      };
      const result = await fs.writeFile(`/file-${victim}`, source, { onProgress });
      assert.equal(result.sizeBytes, bytes.length);
      assertSame(await fs.readFile(`/file-${victim}`), bytes);
    }
    assert.ok(
      retries.some((event) => event.operation === "chunk write"),
      "a stopped server was part of a chain",
    );
  });

  it("completes a write with the surviving servers when no replacement exists", async () => {
    await using cluster = await LoopbackCluster.start(3);
    const fs = await cluster.connect();
    const bytes = someBytes(12 * MIB);
    const result = await fs.writeFile(
      "/file",
      interrupted(bytes, { 5: async () => cluster.servers[1]?.stop() }),
    );
    assert.equal(result.chunksUnderReplicated, 1);
    assertSame(await fs.readFile("/file"), bytes);
  });

  it("fails within the timeout when too few chunkservers are left", async () => {
    await using cluster = await LoopbackCluster.start(3);
    const fs = await cluster.connect();
    const source = interrupted(someBytes(12 * MIB), {
      5: async () => {
        await cluster.servers[0]?.stop();
        await cluster.servers[1]?.stop();
      },
    });
    const write = fs.writeFile("/file", source, { timeoutMs: 6_000 });
    await assert.rejects(
      write,
      (error) =>
        isAshlarError(error, "TOO_FEW_CHUNKSERVERS") ||
        isAshlarError(error, "WRITE_CHAIN_FAILED") ||
        isAshlarError(error, "DEADLINE_EXCEEDED"),
    );
    await assert.rejects(fs.stat("/file"), (error) => isAshlarError(error, "NOT_FOUND"));
  });

  it("completes a write when the leader and a chunkserver stop in the middle", async () => {
    await using cluster = await LoopbackCluster.start(3, { masterCount: 3 });
    const fs = await cluster.connect();
    await fs.mkdir("/d");
    const bytes = someBytes(12 * MIB);
    const source = interrupted(bytes, {
      5: async () => {
        const { leader } = cluster.masters;
        await Promise.all([leader()?.stop(), cluster.servers[0]?.stop()]);
      },
    });
    await fs.writeFile("/d/file", source, { chunkSizeBytes: MIB });
    assertSame(await fs.readFile("/d/file"), bytes);
    const names: string[] = [];
    for await (const entry of fs.list("/d")) names.push(entry.displayName);
    assert.deepEqual(names, ["file"]);
  });
});

describe("file reads during failures", () => {
  it("reads from another replica when one is corrupt, and reports it to its server", async () => {
    await using cluster = await LoopbackCluster.start(3);
    const fs = await cluster.connect();
    const bytes = someBytes(8 * MIB);
    await fs.writeFile("/file", bytes);
    const [victim, other] = cluster.servers;
    assert.ok(victim !== undefined && other !== undefined);
    assert.equal(await corrupt(victim.directory, 8 * MIB, 2 * MIB + 100), 1);
    assert.equal(await corrupt(other.directory, 8 * MIB, 5 * MIB + 100), 1);
    for (let round = 0; round < 4; round += 1) {
      const client = await cluster.connect();
      assertSame(await client.readFile("/file"), bytes);
    }
    const good = await goodReplicasOf(fs, "/file");
    assert.deepEqual(good, [cluster.servers[2]?.running.serverId]);
  });

  it("reads from another replica when a server stops in the middle", async () => {
    await using cluster = await LoopbackCluster.start(3);
    const fs = await cluster.connect();
    const bytes = someBytes(40 * MIB);
    await fs.writeFile("/file", bytes);
    const read = new Uint8Array(bytes.length);
    let stopped = 0;
    for await (const slab of fs.readSlabs("/file", { readAheadBytesMax: 1 })) {
      read.set(slab.bytes, slab.positionBytes);
      slab.release();
      if (slab.positionBytes >= 5 * MIB && stopped === 0) {
        stopped = 1;
        await cluster.servers[0]?.stop();
      }
      if (slab.positionBytes >= 25 * MIB && stopped === 1) {
        stopped = 2;
        await cluster.servers[1]?.stop();
      }
    }
    assertSame(read, bytes);
  });

  it("reports each replica and its error when no replica is good", async () => {
    await using cluster = await LoopbackCluster.start(3);
    const fs = await cluster.connect();
    await fs.writeFile("/file", someBytes(2 * MIB));
    for (const server of cluster.servers) await corrupt(server.directory, 2 * MIB, MIB);
    const read = fs.readFile("/file");
    await assert.rejects(read, (error) => {
      assert.ok(isAshlarError(error, "NO_GOOD_REPLICA"));
      const replicas = error.details["replicas"] as { readonly code: string }[];
      assert.ok(replicas.length > 0);
      return true;
    });
  });

  it("asks a second replica when the first one is slow", async () => {
    let isSlow = false;
    await using cluster = await LoopbackCluster.start(0, { defaultCopiesMin: 1 });
    await cluster.addServer({ wrapDisk: slowable(() => isSlow, 3_000) });
    await cluster.addServer();
    const fs = await cluster.connect();
    const bytes = someBytes(MIB);
    await fs.writeFile("/file", bytes);
    isSlow = true;
    const startMs = clock.monotonicMs();
    for (let round = 0; round < 3; round += 1) assertSame(await fs.readFile("/file"), bytes);
    const tookMs = clock.monotonicMs() - startMs;
    assert.ok(tookMs < 2_500, `three reads took ${tookMs} ms`);
  });
});
