import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, it } from "node:test";
import { randomBytes } from "../../scripts/sample-tree.ts";
import { isAshlarError } from "../../shared/base/errors.ts";
import { HEAL_TIMEOUT_MS, StartedCluster } from "../support/started-cluster.ts";

const MIB = 1024 * 1024;
/** Small chunks, so that a file of a few MiB has many. */
const CHUNKS = { chunkSizeBytes: 8 * MIB };

/** Yields `content` in parts of 1 MiB. `onPart` receives the bytes yielded before each part. */
async function* parts(
  content: Uint8Array,
  onPart: (yieldedBytes: number) => Promise<void> | void,
): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < content.length; offset += MIB) {
    await onPart(offset);
    yield content.subarray(offset, offset + MIB);
  }
}

describe("a cluster whose processes are killed", () => {
  let started: StartedCluster;
  before(async () => {
    started = await StartedCluster.start();
  });
  after(async () => {
    await started[Symbol.asyncDispose]();
  });

  it("finishes a put under a new leader when the leader is killed during the put (G1, G4)", async () => {
    const { cluster, fileSystem } = started;
    const content = randomBytes(40 * MIB, 1);
    const leader = await started.leaderName();
    const source = parts(content, async (yieldedBytes) => {
      if (yieldedBytes === 20 * MIB) await cluster.kill(leader, "SIGKILL");
    });
    await fileSystem.writeFile("/leader-killed", source, CHUNKS);
    assert.notEqual(await started.leaderName(), leader);
    assert.ok(content.equals(await fileSystem.readFile("/leader-killed")));
    await cluster.start(leader);
    await started.waitUntilHealthy();
  });

  it("finishes a put when a chunkserver of its write chain is killed, and replaces the replicas (G5)", async () => {
    const { cluster, fileSystem } = started;
    const content = randomBytes(40 * MIB, 2);
    const source = parts(content, async (yieldedBytes) => {
      if (yieldedBytes === 12 * MIB) await cluster.kill("c1", "SIGKILL");
    });
    await fileSystem.writeFile("/chunkserver-killed", source, CHUNKS);
    assert.ok(content.equals(await fileSystem.readFile("/chunkserver-killed")));
    await cluster.waitUntil(
      ({ chunkservers, namespace }) => {
        const isDead = chunkservers.some((server) => server.state === "dead");
        if (!isDead) return "c1 is not dead yet";
        return namespace.chunksUnderReplicated === 0
          ? null
          : `${namespace.chunksUnderReplicated} chunks lack copies`;
      },
      { timeoutMs: HEAL_TIMEOUT_MS },
    );
    for await (const result of fileSystem.verify("/")) assert.ok(result.isReadable);
    await cluster.start("c1");
    await started.waitUntilHealthy();
  });

  it("finishes a get while two chunkservers are killed in turn", async () => {
    const { cluster, fileSystem } = started;
    const content = randomBytes(40 * MIB, 3);
    await fileSystem.writeFile("/read-through", content, CHUNKS);
    const read: Buffer[] = [];
    let bytes = 0;
    for await (const slab of fileSystem.readSlabs("/read-through", {
      readAheadBytesMax: 4 * MIB,
    })) {
      read.push(Buffer.from(slab.bytes));
      bytes += slab.bytes.length;
      slab.release();
      if (bytes === 8 * MIB) await cluster.kill("c2", "SIGKILL");
      if (bytes === 16 * MIB) await cluster.kill("c3", "SIGKILL");
    }
    assert.ok(content.equals(Buffer.concat(read)));
    await cluster.start("c2");
    await cluster.start("c3");
    await started.waitUntilHealthy();
  });

  it("serves without a minority of masters, and fails with a retryable error without a majority; keeps all acknowledged changes when all processes are killed (G6 for crashes)", async () => {
    const { cluster, fileSystem } = started;
    const content = randomBytes(3 * MIB, 4);
    await fileSystem.mkdir("/acknowledged");
    for (let number = 0; number < 50; number += 1) {
      await fileSystem.writeFile(`/acknowledged/small-${number}`, `number ${number}`);
    }
    await fileSystem.writeFile("/acknowledged/large", content);
    const leader = await started.leaderName();
    await cluster.kill(leader, "SIGKILL");
    await fileSystem.writeFile("/without-one", "two of three are enough");
    const second = await started.leaderName();
    await cluster.kill(second, "SIGKILL");
    await assert.rejects(
      fileSystem.writeFile("/without-two", "one of three is not", { timeoutMs: 3_000 }),
      (error) => isAshlarError(error) && error.retry !== "never",
    );
    const running = cluster.nodes.filter(({ name }) => name !== leader && name !== second);
    await Promise.all(running.map(({ name }) => cluster.kill(name, "SIGKILL")));
    for (const node of cluster.nodes) await cluster.start(node.name);
    await cluster.waitUntilServing({ timeoutMs: HEAL_TIMEOUT_MS });
    for (let number = 0; number < 50; number += 1) {
      const bytes = await fileSystem.readFile(`/acknowledged/small-${number}`);
      assert.equal(Buffer.from(bytes).toString(), `number ${number}`);
    }
    assert.ok(content.equals(await fileSystem.readFile("/acknowledged/large")));
    const bytes = await fileSystem.readFile("/without-one");
    assert.equal(Buffer.from(bytes).toString(), "two of three are enough");
  });

  it("keeps the old version when the client of a put is killed (G7, G10)", async () => {
    const { fileSystem } = started;
    await fileSystem.writeFile("/kept", "the old version");
    const child = started.start("put", "--force", "--chunk-size", "1MiB", "-", "/kept");
    // A pipe holds 64 KiB: when the write is done, the command has read and sent several chunks.
    await new Promise((resolve) => child.stdin.write(randomBytes(16 * MIB, 5), resolve));
    child.kill("SIGKILL");
    await once(child, "exit");
    assert.equal(Buffer.from(await fileSystem.readFile("/kept")).toString(), "the old version");
  });
});
