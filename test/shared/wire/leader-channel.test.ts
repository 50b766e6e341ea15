import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AshlarError, isAshlarError } from "../../../shared/base/errors.ts";
import { CLUSTER_A, CLUSTER_B, hasCode } from "../../support/wire-fixture.ts";

import { NAMES, rename, withMasters } from "./masters.ts";

describe("LeaderChannel", () => {
  it("leaves a stalled leader as soon as another master leads", async () => {
    await withMasters(async (masters) => {
      await masters.startAll();
      assert.equal(await masters.settle(masters.rename({ idempotent: true })), "m1");
      masters.master("m1").behave = () => new Promise<never>(() => {});
      const startMs = masters.clock.monotonicMs();
      const renaming = masters.rename({ idempotent: true });
      await masters.clock.advance(1_500);
      masters.leader = "m2"; // The other masters have elected a new leader.
      assert.equal(await masters.settle(renaming), "m2");
      const tookMs = masters.clock.monotonicMs() - startMs;
      assert.ok(tookMs < 2_500, `it took ${tookMs} ms of virtual time`);
    });
  });

  it("keeps a slow leader that the other masters confirm", async () => {
    await withMasters(async (masters) => {
      await masters.startAll();
      masters.master("m1").behave = async () => {
        await masters.clock.sleep(4_000);
        return null;
      };
      assert.equal(await masters.settle(masters.rename({ idempotent: true })), "m1");
      assert.equal(masters.master("m1").callCount, 1);
    });
  });

  it("does not send a call again while the leader lives and the call waits there", async () => {
    await withMasters(async (masters) => {
      await masters.startAll();
      const m1 = masters.master("m1");
      m1.behave = async () => {
        await masters.clock.sleep(25_000);
        return null;
      };
      const call = masters.rename({ idempotent: true, timeoutMs: 30_000 });
      assert.equal(await masters.settle(call), "m1");
      assert.equal(m1.callCount, 1);
      assert.equal(masters.retries.length, 0);
    });
  });

  it("sends a call again when the leader has been silent for three pings", async () => {
    await withMasters(async (masters) => {
      await masters.startAll();
      const m1 = masters.master("m1");
      m1.behave = () => new Promise<never>(() => {});
      const call = masters.rename({ idempotent: true, timeoutMs: 30_000 });
      await masters.clock.advance(100);
      assert.equal(m1.callCount, 1);
      masters.network.freeze("m1"); // The others still name it as the leader.
      await masters.clock.advance(9_000);
      assert.ok(masters.retries.length > 0, "the silence was noticed");
      m1.behave = async () => null;
      masters.network.thaw("m1");
      assert.equal(await masters.settle(call), "m1");
      assert.equal(m1.callCount, 2);
    });
  });

  it("follows the hint of another master immediately, and keeps that leader", async () => {
    await withMasters(async (masters) => {
      await masters.startAll();
      masters.leader = "m3";
      assert.equal(await masters.settle(masters.rename()), "m3");
      assert.equal(masters.channel.leaderAddress, "m3:9000");
      assert.ok(masters.clock.monotonicMs() < 20, "without a pause");
      assert.equal(await masters.settle(masters.rename()), "m3");
      assert.equal(masters.master("m1").callCount, 1);
      assert.equal(masters.master("m2").callCount, 0);
      assert.equal(masters.retries.length, 1);
      assert.equal(masters.retries[0]?.error.code, "NOT_LEADER");
    });
  });

  it("waits for an election with growing pauses", async () => {
    await withMasters(async (masters) => {
      await masters.startAll();
      masters.leader = null;
      const call = masters.rename();
      await masters.clock.advance(2000);
      masters.leader = "m2";
      assert.equal(await masters.settle(call), "m2");
      const callCount = NAMES.reduce((sum, name) => sum + masters.master(name).callCount, 0);
      assert.ok(callCount < 30, `${callCount} calls`);
    });
  });

  it("pauses between two masters that name each other as the leader", async () => {
    await withMasters(async (masters) => {
      await masters.startAll();
      for (const [name, other] of [
        ["m1", "m2"],
        ["m2", "m1"],
        ["m3", "m1"],
      ] as const) {
        masters.master(name).behave = async () =>
          new AshlarError("NOT_LEADER", "Not I", { details: { leaderAddress: `${other}:9000` } });
      }
      const call = masters.rename({ timeoutMs: 3000 });
      await assert.rejects(masters.settle(call), hasCode("NOT_LEADER"));
      const callCount = NAMES.reduce((sum, name) => sum + masters.master(name).callCount, 0);
      assert.ok(callCount < 60, `${callCount} calls`);
    });
  });

  it("finds the new leader after the old one lost power and accepts no connections", async () => {
    await withMasters(async (masters) => {
      await masters.startAll();
      assert.equal(await masters.settle(masters.rename()), "m1");
      masters.network.crash("m1");
      masters.network.cut("client", "m1");
      masters.leader = "m2";
      const call = masters.rename({ timeoutMs: 30_000, idempotent: true });
      assert.equal(await masters.settle(call), "m2");
      assert.ok(masters.clock.monotonicMs() < 10_000, `${masters.clock.monotonicMs()} ms`);
    });
  });

  it("does not repeat a call that may have taken effect", async () => {
    await withMasters(async (masters) => {
      await masters.startAll();
      const m1 = masters.master("m1");
      m1.behave = async () => {
        masters.network.reset("client", "m1");
        return null;
      };
      await assert.rejects(masters.settle(masters.rename()), hasCode("CONNECTION_LOST"));
      assert.equal(m1.callCount, 1);
    });
  });

  it("repeats an idempotent call that may have taken effect", async () => {
    await withMasters(async (masters) => {
      await masters.startAll();
      const m1 = masters.master("m1");
      m1.behave = async () => {
        if (m1.callCount > 1) return null;
        masters.network.reset("client", "m1");
        return null;
      };
      assert.equal(await masters.settle(masters.rename({ idempotent: true })), "m1");
      assert.equal(m1.callCount, 2);
    });
  });

  it("does not repeat a call after an error of retry class never", async () => {
    await withMasters(async (masters) => {
      await masters.startAll();
      masters.master("m1").behave = async () => new AshlarError("NOT_FOUND", "There is no /a");
      await assert.rejects(masters.settle(masters.rename()), (error: AshlarError) => {
        assert.equal(error.message, "There is no /a");
        return error.code === "NOT_FOUND";
      });
      assert.equal(masters.retries.length, 0);
    });
  });

  it("reports each unreachable master with its reason at the deadline", async () => {
    await withMasters(async (masters) => {
      const call = masters.rename({ timeoutMs: 2000 });
      await assert.rejects(masters.settle(call), (error: AshlarError) => {
        assert.equal(error.code, "UNAVAILABLE");
        const reasons = NAMES.map((name) => `${name}:9000: connection refused`).join(", ");
        assert.equal(
          error.message,
          `Cannot reach any master (${reasons}); is the cluster running?`,
        );
        return true;
      });
      assert.ok(masters.clock.monotonicMs() <= 2000);
    });
  });

  it("reports an unknown effect if the effect of any attempt is unknown", async () => {
    await withMasters(async (masters) => {
      const m1 = await masters.start("m1");
      m1.behave = async () => {
        masters.network.crash("m1");
        masters.network.reset("client", "m1");
        return null;
      };
      masters.network.cut("client", "m2");
      const call = masters.rename({ timeoutMs: 20_000, idempotent: true });
      await masters.clock.advance(10);
      await assert.rejects(masters.settle(call), (error: AshlarError) => {
        // Not CONNECTION_LOST: that names neither the deadline nor the state of the masters now.
        assert.equal(error.code, "DEADLINE_EXCEEDED");
        assert.match(
          error.message,
          /^Cannot complete test\.rename within 20000 ms, \d+ attempts at /,
        );
        return true;
      });
    });
  });

  it("fails with CANCELLED when the caller aborts, at any step", async () => {
    await withMasters(async (masters) => {
      const controller = new AbortController();
      const call = masters.rename({ timeoutMs: 60_000, signal: controller.signal });
      call.catch(() => {});
      await masters.clock.advance(1234);
      controller.abort();
      await assert.rejects(masters.settle(call), hasCode("CANCELLED"));
    });
  });

  it("pauses after OVERLOADED from the leader, and does not call other masters", async () => {
    await withMasters(async (masters) => {
      await masters.startAll();
      await masters.settle(masters.rename());
      const m1 = masters.master("m1");
      m1.behave = async () =>
        m1.callCount < 5 ? new AshlarError("OVERLOADED", "Too much to do") : null;
      assert.equal(await masters.settle(masters.rename()), "m1");
      assert.equal(masters.master("m2").callCount, 0);
      assert.ok(masters.retries.every(({ delayMs }) => delayMs > 0));
    });
  });

  it("refuses a master of another cluster once its cluster is known", async () => {
    await withMasters(async (masters) => {
      await masters.start("m1");
      await masters.start("m2", CLUSTER_B);
      assert.equal(await masters.settle(masters.rename()), "m1");
      assert.equal(masters.pool.clusterId, CLUSTER_A);
      masters.leader = "m2";
      await assert.rejects(masters.settle(masters.rename()), hasCode("WRONG_CLUSTER"));
    });
  });
});

describe("ConnectionPool", () => {
  it("opens one connection for many callers, and a new one after the loss of the first", async () => {
    await withMasters(async (masters) => {
      const m1 = await masters.start("m1");
      const options = { timeoutMs: 1000 };
      const gets = Array.from({ length: 20 }, () => masters.pool.get("m1:9000", options));
      const connections = new Set(await masters.settle(Promise.all(gets)));
      assert.equal(connections.size, 1);
      assert.equal(m1.server.connectionCount, 1);
      masters.network.reset("client", "m1");
      await masters.clock.advance(10);
      const [old] = connections;
      const next = await masters.settle(masters.pool.get("m1:9000", options));
      assert.notEqual(next, old);
    });
  });

  it("fails immediately after a failed attempt, until a short delay has passed", async () => {
    await withMasters(async (masters) => {
      const options = { timeoutMs: 1000 };
      const first = masters.pool.get("m1:9000", options);
      await assert.rejects(masters.settle(first), hasCode("UNAVAILABLE"));
      await masters.start("m1");
      const startMs = masters.clock.monotonicMs();
      await assert.rejects(masters.pool.get("m1:9000", options), hasCode("UNAVAILABLE"));
      assert.equal(masters.clock.monotonicMs(), startMs);
      await masters.clock.advance(51);
      const connection = await masters.settle(masters.pool.get("m1:9000", options));
      assert.ok(connection.isOpen);
    });
  });

  it("observes the deadline and the signal of each caller", async () => {
    await withMasters(async (masters) => {
      masters.network.cut("client", "m1");
      const controller = new AbortController();
      const patient = masters.pool.get("m1:9000", { timeoutMs: 60_000 });
      patient.catch(() => {});
      const hasty = masters.pool.get("m1:9000", { timeoutMs: 100 });
      const { signal } = controller;
      const leaving = masters.pool.get("m1:9000", { timeoutMs: 60_000, signal });
      leaving.catch(() => {});
      await assert.rejects(masters.settle(hasty), hasCode("DEADLINE_EXCEEDED"));
      assert.equal(masters.clock.monotonicMs(), 100);
      controller.abort();
      await assert.rejects(masters.settle(leaving), hasCode("CANCELLED"));
      await assert.rejects(masters.settle(patient), hasCode("UNAVAILABLE"));
      assert.equal(masters.clock.monotonicMs(), 5000);
    });
  });

  it("closes an idle connection, and keeps one with a call in progress", async () => {
    await withMasters(async (masters) => {
      const m1 = await masters.start("m1");
      const m2 = await masters.start("m2");
      m2.behave = async (context) => {
        await masters.clock.sleep(300_000, context.signal);
        return null;
      };
      await masters.settle(masters.pool.get("m1:9000", { timeoutMs: 1000 }));
      const long = masters.pool.call("m2:9000", rename, { id: 1 }, { timeoutMs: 400_000 });
      await masters.clock.advance(200_000);
      assert.equal(m1.server.connectionCount, 0);
      assert.equal(m2.server.connectionCount, 1);
      (await masters.clock.advanceFor(long, "the long call", 400_000)).release();
    });
  });

  it("accepts one of two peers of different clusters that answer at the same time", async () => {
    await withMasters(async (masters) => {
      await masters.start("m1", CLUSTER_A);
      await masters.start("m2", CLUSTER_B);
      const options = { timeoutMs: 1000 };
      const gets = ["m1:9000", "m2:9000"].map((address) => masters.pool.get(address, options));
      const results = await masters.settle(Promise.allSettled(gets));
      assert.deepEqual(
        results.map(({ status }) => status),
        ["fulfilled", "rejected"],
      );
      const [, refused] = results;
      assert.ok(refused?.status === "rejected" && isAshlarError(refused.reason, "WRONG_CLUSTER"));
    });
  });
});
