import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { runCli } from "../../support/memory-cli-env.ts";
import { TempDirectory } from "../../support/temp-directory.ts";
import { LoopbackCluster } from "../support/loopback-cluster.ts";
import { Relay } from "../support/relay.ts";

/** Each command and the calls that it makes to a cluster of one master, in their order. */
const CALLS: ReadonlyArray<readonly [command: readonly string[], methods: readonly string[]]> = [
  [["stat", "/"], ["namespace.stat"]],
  [["ls", "/"], ["namespace.list"]],
  [
    ["mkdir", "/d"],
    ["namespace.open-session", "namespace.transact", "namespace.close-session"],
  ],
  [
    ["rm", "-r", "/d"],
    ["namespace.stat", "namespace.open-session", "namespace.transact", "namespace.close-session"],
  ],
  [
    ["rm", "/t/a"],
    ["namespace.open-session", "namespace.transact", "namespace.close-session"],
  ],
  [
    ["rm", "-r", "--yes", "/t"],
    ["namespace.open-session", "namespace.transact", "namespace.close-session"],
  ],
];

describe("the calls of a command to the masters", () => {
  let cluster: LoopbackCluster;
  let relay: Relay;

  before(async () => {
    cluster = await LoopbackCluster.start(0);
    const master = cluster.masterAddresses[0] as string;
    // Calls are repeated until the cluster is created.
    await runCli(["stat", "/"], { variables: { ASHLAR_CLUSTER: master } });
    relay = await Relay.start(master);
  });

  after(async () => {
    await relay[Symbol.asyncDispose]();
    await cluster[Symbol.asyncDispose]();
  });

  it("end with the last acknowledgement of a tree, and the end of the session", async () => {
    await using work = await TempDirectory.make();
    await mkdir(join(work.path, "t/d/e"), { recursive: true });
    for (const name of ["t/a", "t/d/b", "t/d/e/c"]) await writeFile(join(work.path, name), name);
    relay.methods.length = 0;
    const { status, stderr } = await runCli(["put", "-r", "t", "/t"], {
      variables: { ASHLAR_CLUSTER: relay.address },
      workingDirectory: work.path,
    });
    assert.equal(status, 0, stderr);
    const [first, second] = relay.methods;
    assert.deepEqual([first, second], ["namespace.stat", "namespace.stat"]); // The target.
    assert.deepEqual(relay.methods.slice(-2), ["namespace.transact", "namespace.close-session"]);
    assert.ok(!relay.methods.includes("fleet.member-status"));
  });

  for (const [command, methods] of CALLS) {
    it(`of \`${command.join(" ")}\` are those that its work needs`, async () => {
      relay.methods.length = 0;
      relay.connectionCount = 0;
      const { status, stderr } = await runCli(command, {
        variables: { ASHLAR_CLUSTER: relay.address },
      });
      assert.deepEqual([status, stderr], [0, ""]);
      assert.deepEqual([relay.methods, relay.connectionCount], [methods, 1]);
    });
  }
});
