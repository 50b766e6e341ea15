import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { randomBytes } from "../../scripts/sample-tree.ts";
import { StartedCluster } from "../support/started-cluster.ts";

const MIB = 1024 * 1024;
const mayMount = process.getuid?.() === 0;

describe("a chunkserver whose disk is full", () => {
  // mount(2) needs root. CI has root; elsewhere the test is reported as skipped.
  it("redirects new writes, and keeps and serves its replicas", {
    skip: !mayMount && "needs root for a tmpfs",
  }, async () => {
    await using started = await StartedCluster.start({
      masters: 1,
      chunkservers: 3,
      masterSettings: { defaultCopies: 2 },
    });
    const { cluster, fileSystem } = started;
    await cluster.kill("c1", "SIGTERM");
    const disk = join(started.work, "small-disk");
    await mkdir(disk);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=48m", "tmpfs", disk]);
    try {
      execFileSync("cp", ["-a", `${started.dataDirectoryOf("c1")}/.`, disk]);
      execFileSync("mount", ["--bind", disk, started.dataDirectoryOf("c1")]);
      // Without a reserve the disk itself reports that it is full.
      execFileSync("sed", [
        "-i",
        "s/^reserveBytes = .*/reserveBytes = 0/",
        join(cluster.directory, "c1", "config.toml"),
      ]);
      await cluster.start("c1");
      await cluster.waitUntilServing({ timeoutMs: 60_000 });
      const contents = Array.from({ length: 12 }, (_, index) => randomBytes(8 * MIB, 20 + index));
      for (const [index, content] of contents.entries()) {
        await fileSystem.writeFile(`/file-${index}`, content, { chunkSizeBytes: 8 * MIB });
      }
      for (const [index, content] of contents.entries()) {
        assert.ok(content.equals(await fileSystem.readFile(`/file-${index}`)));
      }
      const { chunkservers } = await fileSystem.status();
      assert.ok(
        chunkservers.every((server) => server.state === "live"),
        "a chunkserver with a full disk stays live",
      );
    } finally {
      await cluster.kill("c1", "SIGTERM").catch(() => {});
      execFileSync("umount", [started.dataDirectoryOf("c1")]);
      execFileSync("umount", [disk]);
    }
  });
});
