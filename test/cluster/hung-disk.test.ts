import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, it } from "node:test";
import type { FileSystemKind } from "../../scripts/soak/loop-disk.ts";
import { LoopDisk } from "../../scripts/soak/loop-disk.ts";
import { missingRequirements } from "../../scripts/soak/requirements.ts";
import { waitFor } from "../../scripts/soak/run-tool.ts";
import { readRange, TestWrite, writeWhole } from "../chunkserver/support/chunk-client.ts";
import { makeChunk, type TestChunk, writeIdFor } from "../chunkserver/support/chunks.ts";
import { TestCluster } from "../chunkserver/support/real-cluster.ts";
import { LAUNCHER } from "../support/started-cluster.ts";
import { TempDirectory } from "../support/temp-directory.ts";

const MIB = 1024 * 1024;
const missing = await missingRequirements([]);

/** A file system that hangs while it is frozen. */
class FreezableDisk extends LoopDisk implements AsyncDisposable {
  async [Symbol.asyncDispose](): Promise<void> {
    await this.thaw();
    await this.unmount();
  }
}

/** A chunkserver process. */
class ChunkserverProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly errors: string[] = [];

  constructor(dataDir: string, masterAddress: string) {
    const flags = ["--data-dir", dataDir, "--masters", masterAddress, "--listen", "127.0.0.1:0"];
    const limits = ["--http", "none", "--reserve-bytes", "0", "--disk-timeout-ms", "3s"];
    this.#child = spawn(process.execPath, [LAUNCHER, "chunkserver", ...flags, ...limits], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const { stdout } = this.#child;
    assert.ok(stdout !== null);
    createInterface(stdout).on("line", (line) => {
      if (line.includes('"level":"error"')) this.errors.push(line);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGTERM");
    await exited;
  }
}

describe("a chunkserver whose disk hangs", () => {
  for (const kind of ["ext4", "xfs"] as const satisfies readonly FileSystemKind[]) {
    it(`on ${kind} serves its chunks, reports the failed disk and refuses writes at once`, {
      // Mounting and freezing a file system needs root. Without it the test is skipped with the reason.
      skip: missing.length > 0 && `this machine lacks ${missing.join("; ")}`,
    }, async () => {
      await using directory = await TempDirectory.make();
      await using cluster = await TestCluster.start();
      await using disk = new FreezableDisk({
        kind,
        image: join(directory.path, "image"),
        mountPoint: join(directory.path, "disk"),
      });
      await disk.make(400 * MIB);
      const { master } = cluster;
      await using server = new ChunkserverProcess(join(disk.mountPoint, "data"), master.address);
      await using _thaw = { [Symbol.asyncDispose]: () => disk.thaw() }; // Before the process ends.
      assert.ok(await waitFor(() => master.heartbeats.length > 0, 20_000), "it registers");
      const [location] = master.servers.values();
      assert.ok(location !== undefined);
      const connection = await cluster.connect(location.address);
      const intent = master.intent([location], 10);
      const kept = [makeChunk(2 * MIB, 1), makeChunk(50_000, 2)];
      for (const [position, chunk] of kept.entries()) {
        await writeWhole(connection, chunk, { writeId: writeIdFor(position), intent });
      }

      await disk.freeze();
      const hanging = Array.from({ length: 12 }, (_, position) =>
        beginWrite(connection, makeChunk(3 * MIB, 10 + position), {
          writeId: writeIdFor(100 + position),
          intent,
        }),
      );
      const isReported = (): boolean => master.heartbeats.at(-1)?.isDiskFailed === true;
      let reads = 0;
      assert.ok(
        await waitFor(async () => {
          for (const chunk of kept) await assertServed(connection, chunk);
          reads += 1;
          return isReported();
        }, 30_000),
        "the failed disk is reported",
      );
      assert.ok(reads > 3, `${reads} rounds of reads while writes hang`);
      const { length } = master.heartbeats;
      assert.ok(await waitFor(() => master.heartbeats.length > length + 5, 5_000), "heartbeats");
      const refused = new TestWrite(connection, { writeId: writeIdFor(500), intent });
      assert.equal((await refused.failed()).error.code, "DISK_FAILED");
      for (const chunk of kept) await assertServed(connection, chunk);
      await disk.thaw();
      await Promise.all(hanging);
      assert.ok(isReported(), "a disk that hung counts as failed until the restart");
      assert.match(server.errors[0] ?? "", /has not answered for 3000 ms/);
    });
  }
});

type Connection = Awaited<ReturnType<TestCluster["connect"]>>;

/** Starts a write and resolves when it has ended in any way. */
async function beginWrite(
  connection: Connection,
  chunk: TestChunk,
  options: ConstructorParameters<typeof TestWrite>[1],
): Promise<void> {
  await writeWhole(connection, chunk, options).then(
    () => {},
    () => {},
  );
}

async function assertServed(connection: Connection, chunk: TestChunk): Promise<void> {
  const range = { chunkId: chunk.chunkId, offsetBytes: 0, lengthBytes: chunk.bytes.length };
  assert.ok(Buffer.from((await readRange(connection, range)).bytes).equals(chunk.bytes));
}
