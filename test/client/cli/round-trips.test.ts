import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { runCli } from "../../support/memory-cli-env.ts";
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
];

describe("the calls of a command to the masters", () => {
  let cluster: LoopbackCluster;
  let relay: Relay;

  before(async () => {
    cluster = await LoopbackCluster.start(0);
    relay = await Relay.start(cluster.masterAddresses[0] as string);
  });

  after(async () => {
    await relay[Symbol.asyncDispose]();
    await cluster[Symbol.asyncDispose]();
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
