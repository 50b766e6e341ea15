import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { IntentFloor } from "../../../master/fleet/intent-floor.ts";
import { Registry } from "../../../master/fleet/registry.ts";
import { SessionMonitor } from "../../../master/fleet/session-monitor.ts";
import type { LogIndex, ServerId, SessionId } from "../../../shared/base/ids.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { hasCode } from "../../support/wire-fixture.ts";

const random = new SeededRandom(1);

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

  it("measures the lifetime again with a new leader", () => {
    const floor = new IntentFloor({ lifetimeMs: 10_000 });
    floor.observe(1 as LogIndex, 0);
    floor.reset();
    assert.equal(floor.observe(2 as LogIndex, 10_000), null);
  });
});

describe("the session monitor", () => {
  const [first, second] = [1, 2] as SessionId[] as [SessionId, SessionId];

  it("expires an inactive session and gives an unknown one a full interval", () => {
    const monitor = new SessionMonitor({ idleMsMax: 1_000 });
    monitor.recordActivity(first, 0);
    monitor.addKnown([first, second], 500);
    assert.deepEqual(monitor.expired(500, 10), []);
    assert.deepEqual(monitor.expired(1_200, 10), [first]);
    assert.deepEqual(monitor.expired(1_600, 10), [first, second]);
    assert.deepEqual(monitor.expired(1_600, 1), [first]);
    monitor.forget([first]);
    assert.deepEqual(monitor.expired(1_600, 10), [second]);
  });

  it("refuses a session when too many are open", () => {
    const monitor = new SessionMonitor({ idleMsMax: 1_000, sessionsMax: 2 });
    monitor.recordActivity(first, 0);
    monitor.checkRoom();
    monitor.recordActivity(second, 0);
    assert.throws(() => monitor.checkRoom(), hasCode("OVERLOADED"));
    monitor.forget([first]);
    monitor.checkRoom();
  });

  it("keeps an active session", () => {
    const monitor = new SessionMonitor({ idleMsMax: 1_000 });
    for (let nowMs = 0; nowMs < 10_000; nowMs += 900) {
      monitor.recordActivity(first, nowMs);
      monitor.addKnown([first], nowMs);
      assert.deepEqual(monitor.expired(nowMs, 10), []);
    }
  });
});

describe("the registry of chunkservers", () => {
  const times = { suspectMs: 2_000, deadMs: 10_000, repairDelayMs: 0, repairDelayStoppedMs: 0 };
  const serverId = "1".padStart(32, "0") as ServerId;
  const location = { serverId, address: "127.0.0.1:1", host: "h", rack: "r" };
  const space = { totalBytes: 100, availableBytes: 50, usedBytes: 50 };

  /** Returns how many servers can take a chunk of the size. */
  function eligibleCount(registry: Registry, chunkBytes: number, exclude: ServerId[] = []): number {
    const chain = { count: 1, racksMin: 1, keep: [], clientHost: "", requires: [] };
    return registry.chooseServers({ ...chain, chunkBytes, exclude: new Set(exclude) }).length;
  }

  it("refuses a heartbeat of a server that has not registered with this leader", () => {
    const registry = new Registry({ clock: new VirtualClock(), random, times });
    registry.beginTerm(1, () => [location]);
    const heartbeat = { serverId, space, isDiskFailed: false, chunkCount: 0, activeWrites: 0 };
    const reports = { copied: [], copyFailed: [], lost: [], purged: [] };
    assert.equal(registry.recordHeartbeat({ ...heartbeat, ...reports }), false);
    registry.recordRegistration(location, space);
    assert.equal(registry.recordHeartbeat({ ...heartbeat, ...reports }), true);
  });

  it("uses no copy on a failed disk, and no such server, until a heartbeat reports it good", () => {
    const registry = new Registry({ clock: new VirtualClock(), random, times });
    registry.recordRegistration(location, space);
    assert.equal(eligibleCount(registry, 10), 1);
    const report = (isDiskFailed: boolean): void => {
      const heartbeat = { serverId, space, isDiskFailed, chunkCount: 0, activeWrites: 0 };
      registry.recordHeartbeat({ ...heartbeat, copied: [], copyFailed: [], lost: [], purged: [] });
    };
    report(true);
    assert.equal(eligibleCount(registry, 10), 0);
    assert.ok(!registry.isAvailable(serverId), "its replicas do not count as live");
    assert.ok(registry.isReachable(serverId), "it can send its replicas");
    registry.recordRegistration(location, space);
    assert.equal(eligibleCount(registry, 10), 0, "a new connection repairs no disk");
    report(false);
    assert.equal(eligibleCount(registry, 10), 1);
    assert.ok(registry.isAvailable(serverId));
  });

  it("considers no server dead for an interval after the term started", async () => {
    const clock = new VirtualClock();
    const registry = new Registry({ clock, random, times });
    await clock.advance(60_000);
    registry.beginTerm(1, () => [location]);
    assert.equal(registry.liveness(serverId), "live");
    await clock.advance(10_000);
    assert.equal(registry.liveness(serverId), "dead");
  });

  it("forgives servers the silence of a stall, and brings no silent server back", async () => {
    const clock = new VirtualClock();
    const registry = new Registry({ clock, random, times });
    const otherId = "2".padStart(32, "0") as ServerId;
    registry.recordRegistration({ ...location, serverId: otherId }, space);
    await clock.advance(11_000);
    registry.recordRegistration(location, space);
    const states = () => [registry.liveness(serverId), registry.liveness(otherId)];
    assert.deepEqual(states(), ["live", "dead"]);
    for (let stall = 0; stall < 100; stall += 1) {
      await clock.advance(60_000);
      registry.forgiveStall(60_000);
      assert.deepEqual(states(), ["live", "dead"]);
    }
    assert.equal(registry.silentMs(otherId), 11_000);
    await clock.advance(10_000);
    assert.deepEqual(states(), ["dead", "dead"]);
  });

  it("offers only live servers with enough space for new chunks", async () => {
    const clock = new VirtualClock();
    const registry = new Registry({ clock, random, times });
    registry.recordRegistration(location, space);
    assert.equal(eligibleCount(registry, 50), 1);
    assert.equal(eligibleCount(registry, 51), 0);
    assert.equal(eligibleCount(registry, 1, [serverId]), 0);
    await clock.advance(2_000);
    assert.equal(eligibleCount(registry, 1), 0);
    const heartbeat = { serverId, space, isDiskFailed: false, chunkCount: 0, activeWrites: 0 };
    registry.recordHeartbeat({ ...heartbeat, copied: [], copyFailed: [], lost: [], purged: [] });
    assert.equal(eligibleCount(registry, 1), 1, "the server is back");
  });
});
