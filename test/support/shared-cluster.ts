import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { LocalCluster } from "../../client/cli/cluster/local-cluster.ts";
import type { FileSystem } from "../../client/file-system.ts";
import { StartedCluster, UP_TIMEOUT_MS } from "./started-cluster.ts";

/** Directory of the cluster of this process. Undefined before the first use. */
let directory: string | undefined;
let starting: Promise<LocalCluster> | undefined;
/** Number of masters of the cluster of this process at its start. */
let mastersAtStart = 0;

/**
 * Returns a cluster of one chunkserver and one or three masters with an empty root. The test files of
 * a process use the same cluster, one after another: a daemon takes a CPU-second to start. Disposing
 * the result empties the root. The cluster stops after the last test of the process.
 */
export async function shareCluster({ masters = 1 } = {}): Promise<StartedCluster> {
  if (starting === undefined) mastersAtStart = masters;
  assert.equal(
    masters,
    mastersAtStart,
    "all files of a process ask for the same number of masters",
  );
  starting ??= start(masters);
  return StartedCluster.over(await starting, removeAll);
}

async function start(masters: number): Promise<LocalCluster> {
  directory = await mkdtemp(join(tmpdir(), "ashlar-test-"));
  return LocalCluster.up({
    directory: join(directory, "cluster"),
    masters,
    chunkservers: 1,
    basePort: 0,
    timeoutMs: UP_TIMEOUT_MS,
  });
}

async function removeAll(fileSystem: FileSystem): Promise<void> {
  for await (const { name } of fileSystem.list("/")) {
    await fileSystem.removeTree(Buffer.concat([Buffer.from("/"), name]));
  }
  const left = await fileSystem.listPage("/", { limit: 1 });
  assert.equal(left.entries.length, 0, "the next test file starts with an empty root");
}

// A hook outside of a suite runs after the last test of the process.
after(async () => {
  if (directory === undefined) return;
  const cluster = await starting?.catch(() => undefined);
  await cluster?.down();
  await rm(directory, { recursive: true, force: true });
});
