import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createClusterFiles } from "../../../client/cli/cluster/layout.ts";
import { startNode } from "../../../client/cli/cluster/node-process.ts";
import type { ClusterFile } from "../../../shared/platform/local-cluster-file.ts";
import { TempDirectory } from "../../support/temp-directory.ts";
import { hasCode } from "../../support/wire-fixture.ts";

function makeFiles(directory: string): Promise<ClusterFile> {
  const addresses = [1, 2, 3, 4].map((port) => `127.0.0.1:${port}`);
  const settings = { masterSettings: {}, chunkserverSettings: {} };
  return createClusterFiles(directory, { masters: 1, chunkservers: 1, addresses, ...settings });
}

describe("a local cluster", () => {
  it("reports a process that cannot be started", async () => {
    await using directory = await TempDirectory.make();
    const [node] = (await makeFiles(directory.path)).nodes;
    assert.ok(node !== undefined);
    const { execPath } = process;
    process.execPath = `${directory.path}/no-such-program`;
    try {
      await assert.rejects(startNode(directory.path, node), hasCode("INTERNAL"));
      await new Promise(setImmediate); // The child emits its error event in this turn.
    } finally {
      process.execPath = execPath;
    }
  });
});
