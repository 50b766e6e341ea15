import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { FileSystem } from "../../../client/file-system.ts";
import { CHUNKS_PER_CALL_MAX } from "../../../client/write/staging.ts";
import type { Command } from "../../../master/namespace/command.ts";
import { encodeCommand } from "../../../master/namespace/command-encoding.ts";
import { FEATURE_LEVEL_PUBLISH } from "../../../master/namespace/feature-levels.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { SessionId, StagingId } from "../../../shared/base/ids.ts";
import { SystemClock } from "../../../shared/platform/system-clock.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { MemoryLog } from "../../support/wire-fixture.ts";
import { CutNetwork } from "../support/cut-network.ts";
import { LoopbackCluster, makeEnv } from "../support/loopback-cluster.ts";

const MIB = 1024 * 1024;
const WAIT_MS_MAX = 20_000;
const clock = new SystemClock();

/** Intents expire within a write. */
const SETTINGS = { intentLifetimeMs: 1_000, sessionIdleMsMax: 1_500 } as const;

/** Yields `bytes` in pieces of 512 KiB, 150 ms apart, then waits for `last`. */
async function* slowly(bytes: Uint8Array, last?: Promise<void>): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < bytes.length; offset += MIB / 2) {
    await clock.sleep(150);
    yield bytes.subarray(offset, offset + MIB / 2);
  }
  await last;
}

/** Polls the status until `isReached` accepts its counters. */
async function reach(
  fs: FileSystem,
  what: string,
  isReached: (counters: {
    readonly stagedBytes: number;
    readonly chunkCount: number;
    /** Chunks on the disks of all chunkservers. */
    readonly copyCount: number;
  }) => boolean,
): Promise<void> {
  const endMs = clock.monotonicMs() + WAIT_MS_MAX;
  for (;;) {
    const { namespace, chunkservers } = await fs.status();
    const { stagedBytes, chunkCount } = namespace;
    const copyCount = chunkservers.reduce((sum, server) => sum + server.chunkCount, 0);
    const counters = { stagedBytes, chunkCount, copyCount };
    if (isReached(counters)) return;
    assert.ok(clock.monotonicMs() < endMs, `${what}: current state is ${JSON.stringify(counters)}`);
    await clock.sleep(50);
  }
}

async function pathsBelow(fs: FileSystem, path: string): Promise<string[]> {
  const paths: string[] = [];
  for await (const entry of fs.walk(path)) paths.push(entry.path);
  return paths;
}

describe("a write of a file", () => {
  let cluster: LoopbackCluster;
  let fs: FileSystem;
  before(async () => {
    cluster = await LoopbackCluster.start(3, SETTINGS);
    fs = await cluster.connect();
  });
  after(() => cluster[Symbol.asyncDispose]());

  it("outlives its intents, shows nothing before it is published, and leaves nothing", async () => {
    await fs.mkdir("/d");
    const bytes = new SeededRandom(7).bytes(8 * MIB);
    const source = slowly(
      bytes,
      reach(fs, "chunks are staged", ({ stagedBytes }) => stagedBytes >= 4 * MIB).then(async () => {
        assert.deepEqual(await pathsBelow(fs, "/"), ["/d"]);
      }),
    );
    await fs.writeFile("/d/slow", source, { chunkSizeBytes: 2 * MIB });
    assert.equal(Buffer.compare(await fs.readFile("/d/slow"), bytes), 0);
    assert.deepEqual(await pathsBelow(fs, "/"), ["/d", "/d/slow"]);
    await reach(fs, "nothing is staged", ({ stagedBytes }) => stagedBytes === 0);
    assert.equal((await fs.status()).namespace.chunkCount, 4);
    await fs.removeTree("/d");
  });

  it("blocks no rmdir of its directory, and leaves nothing after its client is killed", async () => {
    await fs.mkdir("/d");
    const { chunkCount: countBefore } = (await fs.status()).namespace;
    const network = new CutNetwork();
    const env = { ...makeEnv(new MemoryLog()), network };
    const victim = await cluster.connect({ env, timeoutMs: 500 });
    const killed = new AbortController();
    const never = new Promise<void>((_resolve, reject) => {
      killed.signal.addEventListener("abort", () => reject(killed.signal.reason));
    });
    const bytes = new SeededRandom(8).bytes(4 * MIB);
    const write = victim.writeFile("/d/slow", slowly(bytes, never), {
      chunkSizeBytes: MIB,
      signal: killed.signal,
    });
    const end = assert.rejects(write, (error) => isAshlarError(error, "CANCELLED"));
    await reach(fs, "all full chunks are staged", ({ stagedBytes }) => stagedBytes === 4 * MIB);
    await fs.rmdir("/d");
    assert.deepEqual(await pathsBelow(fs, "/"), []);
    network.cut(() => true);
    killed.abort();
    await end;
    await reach(fs, "everything is deleted", ({ stagedBytes, chunkCount, copyCount }) => {
      return stagedBytes === 0 && chunkCount === countBefore && copyCount === 3 * countBefore;
    });
  });

  it("checks its preconditions in the entry that publishes it", async () => {
    const target = { path: new TextEncoder().encode("/f") };
    const absent = { kind: "absent", target } as const;
    for (const sizeBytes of [10, MIB + 1]) {
      const bytes = new SeededRandom(sizeBytes).bytes(sizeBytes);
      await fs.writeFile("/f", bytes, { preconditions: [absent] });
      const options = { replace: true, preconditions: [absent] };
      const again = fs.writeFile("/f", "other", options);
      await assert.rejects(again, (error) => isAshlarError(error, "PRECONDITION_FAILED"));
      const other = new SeededRandom(1).bytes(sizeBytes);
      const stat = await fs.stat("/f");
      const seen = { kind: "version", target, version: stat.version as never } as const;
      await fs.setAttributes("/f", { mode: 0o600 });
      const replaced = fs.writeFile("/f", other, { replace: true, preconditions: [seen] });
      await assert.rejects(replaced, (error) => isAshlarError(error, "PRECONDITION_FAILED"));
      assert.equal(Buffer.compare(await fs.readFile("/f"), bytes), 0);
      await fs.unlink("/f");
    }
  });
});

describe("a long write in a cluster of a feature level without staging", () => {
  it("is published without staging if it ends before its intents expire", async () => {
    // The level of a new cluster rises when every master has answered, which also the only one cannot.
    const masterNetwork = new CutNetwork();
    masterNetwork.cut(() => true);
    await using cluster = await LoopbackCluster.start(1, {
      defaultCopies: 1,
      defaultCopiesMin: 1,
      intentLifetimeMs: 3_000,
      masterNetwork,
    });
    const log = new MemoryLog();
    const fs = await cluster.connect({ env: makeEnv(log) });
    const refused = (async () => {
      while (!log.lines.some(({ message }) => message.startsWith("Cannot stage"))) {
        await clock.sleep(50);
      }
    })();
    const bytes = new SeededRandom(11).bytes(MIB + 1);
    await fs.writeFile("/f", slowly(bytes, refused), { chunkSizeBytes: MIB });
    assert.equal(Buffer.compare(await fs.readFile("/f"), bytes), 0);
  });
});

describe("a write of a file of many chunks in a cluster that does not publish uploads", () => {
  it("commits a list and leaves nothing staged", async () => {
    // No master has answered at the founding, so the level of the new cluster is 1.
    const masterNetwork = new CutNetwork();
    masterNetwork.cut(() => true);
    await using cluster = await LoopbackCluster.start(1, {
      defaultCopies: 1,
      defaultCopiesMin: 1,
      masterNetwork,
    });
    const level = FEATURE_LEVEL_PUBLISH - 1;
    const raise = encodeCommand({ kind: "raise-feature-level", level });
    await cluster.masters.leader()?.running.consensus.propose(raise);
    const fs = await cluster.connect();
    const chunkCount = 2 * CHUNKS_PER_CALL_MAX + 1;
    async function* source(): AsyncGenerator<Uint8Array> {
      yield new SeededRandom(13).bytes(MIB);
      for (let count = 1; count < chunkCount; count += 1) yield new Uint8Array(MIB);
    }
    await fs.writeFile("/f", source(), { chunkSizeBytes: MIB });
    const stat = await fs.stat("/f");
    assert.ok(stat.kind === "file" && stat.sizeBytes === chunkCount * MIB);
    await reach(fs, "nothing is staged", ({ stagedBytes }) => stagedBytes === 0);
  });
});

describe("a write that takes longer than its session", () => {
  const settings = { ...SETTINGS, intentLifetimeMs: 3_000, sessionIdleMsMax: 60_000 };
  /** Ids of the sessions of a new cluster: indexes of its log. */
  const sessionIds = Array.from({ length: 500 }, (_, index) => (index + 1) as SessionId);
  let cluster: LoopbackCluster;
  let fs: FileSystem;
  before(async () => {
    cluster = await LoopbackCluster.start(3, settings);
    fs = await cluster.connect();
  });
  after(() => cluster[Symbol.asyncDispose]());
  const propose = async (command: Command): Promise<void> => {
    await cluster.masters.leader()?.running.consensus.propose(encodeCommand(command));
  };

  it("keeps its chunks when the client has opened another session", async () => {
    const bytes = new SeededRandom(9).bytes(8 * MIB);
    async function* source(): AsyncGenerator<Uint8Array> {
      yield* slowly(bytes.subarray(0, 4 * MIB));
      await reach(fs, "chunks are staged", ({ stagedBytes }) => stagedBytes === 4 * MIB);
      // The session refuses every sequence that the client will use.
      for (const sessionId of sessionIds.slice(0, 100)) {
        const attempt = { sessionId, sequence: 9_999, firstUnacknowledged: 9_999 };
        const operations = [{ kind: "unstage", id: "0".repeat(32) as StagingId }] as const;
        await propose({ kind: "transact", nowMs: 1, attempt, preconditions: [], operations });
      }
      yield* slowly(bytes.subarray(4 * MIB));
      await reach(fs, "all are staged again", ({ stagedBytes }) => stagedBytes === 12 * MIB);
    }
    await fs.writeFile("/slow", source(), { chunkSizeBytes: MIB });
    assert.equal(Buffer.compare(await fs.readFile("/slow"), bytes), 0);
    await propose({ kind: "expire-sessions", nowMs: 1, sessionIds });
    await reach(fs, "nothing is staged", ({ stagedBytes }) => stagedBytes === 0);
    await fs.unlink("/slow");
  });

  it("fails with SESSION_EXPIRED when its chunks are gone", async () => {
    const { chunkCount: countBefore } = (await fs.status()).namespace;
    const bytes = new SeededRandom(10).bytes(4 * MIB);
    const expired = reach(fs, "chunks are staged", ({ stagedBytes }) => stagedBytes === 4 * MIB)
      .then(() => propose({ kind: "expire-sessions", nowMs: 1, sessionIds: sessionIds }))
      .then(() => reach(fs, "they are gone", ({ chunkCount }) => chunkCount === countBefore));
    const write = fs.writeFile("/lost", slowly(bytes, expired), { chunkSizeBytes: MIB });
    await assert.rejects(write, (error) => isAshlarError(error, "SESSION_EXPIRED"));
    await assert.rejects(fs.stat("/lost"), (error) => isAshlarError(error, "NOT_FOUND"));
  });

  it("leaves nothing in its session if it fails while no master answers", async () => {
    const network = new CutNetwork();
    const retries: string[] = [];
    const client = await cluster.connect({
      env: { ...makeEnv(new MemoryLog()), network },
      timeoutMs: 300,
      onRetry: ({ operation }) => retries.push(operation),
    });
    const staged = reach(fs, "chunks are staged", ({ stagedBytes }) => stagedBytes === 4 * MIB);
    const lost = staged.then(() => {
      network.cut(() => true);
      throw new Error("the source was lost");
    });
    const source = slowly(new SeededRandom(12).bytes(4 * MIB), lost);
    const write = client.writeFile("/left", source, { chunkSizeBytes: MIB });
    await assert.rejects(write, /the source was lost/);
    await clock.sleep(600); // The first attempt to unstage has failed.
    assert.ok(retries.length > 0);
    network.cut(() => false);
    await reach(fs, "nothing is staged", ({ stagedBytes }) => stagedBytes === 0);
  });
});
