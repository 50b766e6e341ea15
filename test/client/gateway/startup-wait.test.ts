import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { connect } from "../../../client/connect.ts";
import { whileReporting } from "../../../client/gateway/startup-wait.ts";
import { TcpNetwork } from "../../../shared/platform/tcp-network.ts";
import { hasCode, MemoryLog } from "../../support/wire-fixture.ts";
import { makeEnv } from "../support/loopback-cluster.ts";

describe("the start of the gateway", () => {
  it("says within 2 s what it waits for, and ends with the error of the connect", async () => {
    const listener = await new TcpNetwork().listen("127.0.0.1:0", () => {});
    const { address } = listener;
    await listener.close(); // No process listens there.
    const log = new MemoryLog();
    const env = makeEnv(log);
    const cluster = { masters: [address], clusterId: null };
    await assert.rejects(
      whileReporting(env, cluster, () => connect({ masters: [address], env, timeoutMs: 2_000 })),
      hasCode("UNAVAILABLE"),
    );
    const line = log.lines.find(({ message }) => message === "Waiting for the masters");
    assert.deepEqual(line?.fields["masters"], [`${address}: connection refused`]);
    assert.equal(line.fields["reason"], "all of them refuse the connection");
  });

  it("says nothing if the masters answer at once", async () => {
    const log = new MemoryLog();
    const cluster = { masters: ["127.0.0.1:1"], clusterId: null };
    assert.equal(await whileReporting(makeEnv(log), cluster, () => Promise.resolve(7)), 7);
    assert.deepEqual(log.lines, []);
  });
});
