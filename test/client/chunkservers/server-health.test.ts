import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ServerHealth } from "../../../client/chunkservers/server-health.ts";
import type { ServerId } from "../../../shared/base/ids.ts";

const A = "a" as ServerId;
const B = "b" as ServerId;
const C = "c" as ServerId;

function candidate(serverId: ServerId, facts: { host?: string; isLive?: boolean } = {}) {
  return { serverId, host: "elsewhere", isLive: true, ...facts };
}

const context = { nowMs: 10_000, hostName: "here", fraction: () => 0.5 };

describe("the health of chunkservers", () => {
  it("puts a recently failed server last, for longer after each consecutive failure", () => {
    const health = new ServerHealth();
    health.recordFailure(A, 10_000);
    const order = health.orderByPreference(
      [candidate(A), candidate(B, { isLive: false })],
      context,
    );
    assert.deepEqual(
      order.map((each) => each.serverId),
      [B, A],
    );
    assert.ok(health.isPenalized(A, 10_900));
    assert.ok(!health.isPenalized(A, 11_100));
    health.recordFailure(A, 20_000);
    assert.ok(health.isPenalized(A, 21_900));
    health.recordSuccess(A);
    assert.deepEqual(health.penalizedServers(20_000), []);
  });

  it("prefers a server on this machine, then the one with fewer pending requests", () => {
    const health = new ServerHealth();
    health.recordStart(B);
    const near = candidate(C, { host: "here" });
    const order = health.orderByPreference([candidate(B), candidate(A), near], context);
    assert.deepEqual(
      order.map((each) => each.serverId),
      [C, A, B],
    );
  });

  it("delays a hedge by 1.5 times the 95th percentile of the latencies", () => {
    const health = new ServerHealth();
    const unknownMs = health.hedgeAfterMs(A);
    for (let count = 0; count < 20; count += 1) health.recordLatency(A, count === 0 ? 5_000 : 100);
    assert.equal(health.hedgeAfterMs(A), 150);
    assert.ok(unknownMs > 150);
    for (let count = 0; count < 64; count += 1) health.recordLatency(B, 1);
    assert.equal(health.hedgeAfterMs(B), 50, "the delay has a minimum");
  });

  it("limits hedges to a tenth of the reads in the long run", () => {
    const health = new ServerHealth();
    while (health.tryAcquireHedge());
    let hedges = 0;
    for (let read = 0; read < 1_000; read += 1) {
      health.recordLatency(A, 10);
      if (health.tryAcquireHedge()) hedges += 1;
    }
    assert.ok(hedges >= 95 && hedges <= 100, `${hedges} hedges`);
  });
});
