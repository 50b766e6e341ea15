import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { IntentFloor } from "../../../master/fleet/intent-floor.ts";
import { Registry } from "../../../master/fleet/registry.ts";
import { SessionMonitor } from "../../../master/fleet/session-monitor.ts";
import type { LogIndex, ServerId, SessionId } from "../../../shared/base/ids.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

describe("the intent floor (docs/decisions/0002)", () => {
  it("is raised only to an index that is a full lifetime old on this leader's clock", () => {
    const floor = new IntentFloor({ lifetimeMs: 10_000 });
    const raised: Array<number | null> = [];
    for (let second = 0; second <= 12; second += 1) {
      raised.push(floor.observe((100 + second) as LogIndex, second * 1_000));
    }
    assert.deepEqual(
      raised.slice(0, 10),
      Array.from({ length: 10 }, () => null),
    );
    assert.deepEqual(raised.slice(10), [100, 101, 102]);
  });

  it("starts to count anew with a new leader", () => {
    const floor = new IntentFloor({ lifetimeMs: 10_000 });
    floor.observe(1 as LogIndex, 0);
    floor.reset();
    assert.equal(floor.observe(2 as LogIndex, 10_000), null);
  });
});

describe("the watch over sessions", () => {
  const [first, second] = [1, 2] as SessionId[] as [SessionId, SessionId];

  it("expires a session that was silent for too long, and gives an unknown one a full interval", () => {
    const watch = new SessionMonitor({ idleMsMax: 1_000 });
    watch.recordActivity(first, 0);
    assert.deepEqual(watch.expired([first, second], 500, 10), []);
    assert.deepEqual(watch.expired([first, second], 1_200, 10), [first]);
    assert.deepEqual(watch.expired([second], 1_600, 10), [second]);
  });

  it("keeps a session that is heard", () => {
    const watch = new SessionMonitor({ idleMsMax: 1_000 });
    for (let nowMs = 0; nowMs < 10_000; nowMs += 900) {
      watch.recordActivity(first, nowMs);
      assert.deepEqual(watch.expired([first], nowMs, 10), []);
    }
  });
});

describe("the registry of chunkservers", () => {
  const times = { suspectMs: 2_000, deadMs: 10_000, repairDelayMs: 0, repairDelayStoppedMs: 0 };
  const serverId = "1".padStart(32, "0") as ServerId;
  const location = { serverId, address: "127.0.0.1:1", host: "h", rack: "r" };
  const space = { totalBytes: 100, availableBytes: 50, usedBytes: 50 };

  it("takes no heartbeat of a server that has not registered with this leader", () => {
    const registry = new Registry({ clock: new VirtualClock(), times });
    registry.startGracePeriod([location]);
    const beat = { serverId, space, isDiskFailed: false, chunkCount: 0, activeWrites: 0 };
    const reports = { copied: [], copyFailed: [], lost: [], purged: [] };
    assert.equal(registry.recordHeartbeat({ ...beat, ...reports }), false);
    registry.recordRegistration(location, space);
    assert.equal(registry.recordHeartbeat({ ...beat, ...reports }), true);
  });

  it("offers no server for new chunks whose disk has failed, until it registers anew", () => {
    const registry = new Registry({ clock: new VirtualClock(), times });
    registry.recordRegistration(location, space);
    assert.equal(registry.candidates(10).length, 1);
    const beat = { serverId, space, isDiskFailed: true, chunkCount: 0, activeWrites: 0 };
    registry.recordHeartbeat({ ...beat, copied: [], copyFailed: [], lost: [], purged: [] });
    assert.deepEqual(registry.candidates(10), []);
    assert.ok(registry.isAvailable(serverId), "the copies that it has count");
    registry.recordRegistration(location, space);
    assert.equal(registry.candidates(10).length, 1);
  });

  it("judges nobody for an interval after it began to listen", async () => {
    const clock = new VirtualClock();
    const registry = new Registry({ clock, times });
    await clock.advance(60_000);
    registry.startGracePeriod([location]);
    assert.equal(registry.liveness(serverId), "live");
    await clock.advance(10_000);
    assert.equal(registry.liveness(serverId), "dead");
  });

  it("offers for new chunks only servers that are live and have room", async () => {
    const clock = new VirtualClock();
    const registry = new Registry({ clock, times });
    registry.recordRegistration(location, space);
    assert.equal(registry.candidates(50).length, 1);
    assert.equal(registry.candidates(51).length, 0);
    assert.equal(registry.candidates(1, new Set([serverId])).length, 0);
    await clock.advance(2_000);
    assert.equal(registry.candidates(1).length, 0);
  });
});
