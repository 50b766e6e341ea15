import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { describe, it } from "node:test";
import { connect } from "../../../client/connect.ts";
import { hasCode } from "../../support/wire-fixture.ts";
import { LoopbackCluster } from "../support/loopback-cluster.ts";

const CALLS = 2_000;

// Node searches all listeners of a signal to add or remove one: 40,000 calls took 7 s to cancel.
describe("calls that share one signal", () => {
  it("take one listener of it, are all cancelled, and leave none", async () => {
    await using cluster = await LoopbackCluster.start(2);
    await using fs = await connect({ masters: cluster.masterAddresses });
    const bytes = new Uint8Array(200_000).fill(7);
    await fs.writeFile("/f", bytes);
    const controller = new AbortController();
    const { signal } = controller;
    const kinds = [
      () => fs.stat("/f", { signal }),
      () => fs.readFile("/f", { signal }),
      () => fs.mkdir("/d", { signal }),
      () => fs.status({ signal }),
      async () => {
        for await (const entry of fs.list("/", { signal })) assert.ok(entry);
      },
    ];
    const started = Array.from({ length: CALLS }, (_, number) => kinds[number % kinds.length]?.());
    const results = started.map((call) =>
      assert.rejects(call as Promise<unknown>, hasCode("CANCELLED")),
    );
    await new Promise(setImmediate);
    assert.equal(getEventListeners(signal, "abort").length, 1);
    controller.abort();
    await Promise.all(results);
    assert.equal(getEventListeners(signal, "abort").length, 0);
  });
});
