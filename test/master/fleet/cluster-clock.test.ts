import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ClusterClock } from "../../../master/fleet/cluster-clock.ts";
import type { Command } from "../../../master/namespace/command.ts";
import { FEATURE_LEVEL_CLOCK_STEPS } from "../../../master/namespace/feature-levels.ts";
import { AshlarError } from "../../../shared/base/errors.ts";
import type { MemberId } from "../../../shared/base/ids.ts";
import type { Clock } from "../../../shared/ports/clock.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { MemoryLog } from "../../support/wire-fixture.ts";

const DAY_MS = 24 * 60 * 60 * 1_000;
const TEN_YEARS_MS = 3_650 * DAY_MS;

/** The clock of master 1 in a cluster of three, and the clocks of all of them. */
class Masters {
  readonly virtual = new VirtualClock();
  readonly log = new MemoryLog();
  /** How far the wall clock of each master is ahead of the true time. */
  readonly aheadMs = new Map<number, number>([1, 2, 3].map((id) => [id, 0]));
  readonly down = new Set<number>();
  readonly state = { clockMs: 0, featureLevel: FEATURE_LEVEL_CLOCK_STEPS };
  readonly proposed: Command[] = [];
  role = "leader";
  readonly clock: ClusterClock;

  constructor(stateAheadMs = 0) {
    this.state.clockMs = this.trueMs + stateAheadMs;
    const members = [1, 2, 3].map((id) => ({
      id: id as MemberId,
      address: `m${id}:1`,
      vote: "voter",
    }));
    const wallMs = (): number => this.trueMs + (this.aheadMs.get(1) ?? 0);
    const { virtual } = this;
    const clock = { monotonicMs: () => virtual.monotonicMs(), wallMs } as Clock;
    this.clock = new ClusterClock({
      env: { clock, log: this.log },
      consensus: {
        status: () => ({ role: this.role, memberId: 1 }),
        membership: () => ({ members }),
      } as never,
      state: () => this.state,
      fetchWallMs: async ({ id }) => {
        if (this.down.has(id)) throw new AshlarError("UNAVAILABLE", "down");
        return this.trueMs + (this.aheadMs.get(id) ?? 0);
      },
    });
  }

  get trueMs(): number {
    return this.virtual.wallMs();
  }

  propose = async (command: Command): Promise<void> => {
    this.proposed.push(command);
    if (command.kind === "step-clock") this.state.clockMs = command.toMs;
  };

  /** Lets time pass. @returns how far the stamps advanced */
  async pass(durationMs: number): Promise<number> {
    const before = this.clock.nowMs();
    await this.virtual.advance(durationMs);
    await this.clock.refresh();
    return this.clock.nowMs() - before;
  }

  errorMs(): number {
    return this.clock.nowMs() - this.trueMs;
  }
}

describe("the clock of the cluster", () => {
  it("is the median of the masters: a leader ten years ahead does not move it", async () => {
    const masters = new Masters();
    masters.aheadMs.set(1, TEN_YEARS_MS);
    masters.aheadMs.set(2, 40);
    await masters.clock.prepare(masters.propose);
    assert.equal(masters.errorMs(), 40);
    assert.deepEqual(masters.proposed, []);
    assert.equal(await masters.pass(60_000), 60_000);
    assert.deepEqual(
      [...(masters.clock.skews() ?? [])],
      [
        [1, TEN_YEARS_MS - 40],
        [2, 0],
        [3, -40],
      ],
    );
  });

  it("runs on from the last entry until a majority has reported its clocks", async () => {
    const masters = new Masters();
    masters.down.add(2).add(3);
    masters.aheadMs.set(1, TEN_YEARS_MS);
    await masters.clock.prepare(masters.propose);
    assert.equal(masters.clock.skews(), null);
    assert.equal(masters.errorMs(), 0);
    assert.equal(await masters.pass(5_000), 5_000);
    await assert.rejects(masters.clock.reset(masters.propose), { code: "UNAVAILABLE" });
    masters.down.delete(2);
    masters.aheadMs.set(2, 300);
    await masters.clock.refresh();
    assert.equal(masters.errorMs(), 300, "of two clocks the earlier one");
  });

  it("advances at most twice as fast as time passes, after a second at once", async () => {
    const masters = new Masters();
    await masters.clock.prepare(masters.propose);
    await masters.pass(5_000);
    for (const id of [1, 2, 3]) masters.aheadMs.set(id, TEN_YEARS_MS);
    let passedMs = 0;
    let advancedMs = 0;
    for (const durationMs of [1, 10, 100, 1_000, 1_000, 10_000, 60_000]) {
      passedMs += durationMs;
      advancedMs += await masters.pass(durationMs);
      assert.ok(advancedMs <= 2 * passedMs + 1_000, `${advancedMs} in ${passedMs} ms`);
    }
    assert.deepEqual(masters.proposed, []);
    assert.ok((masters.clock.aheadMs() ?? 0) < -TEN_YEARS_MS / 2, "the rest is reported");
  });

  it("runs at half the rate while it is ahead, and never back", async () => {
    const masters = new Masters(30_000);
    await masters.clock.prepare(masters.propose);
    assert.equal(await masters.pass(10_000), 5_000);
    assert.equal(await masters.pass(60_000), 35_000);
    assert.equal(masters.errorMs(), 0);
  });

  it("is stepped forward by a new leader after a long time without one", async () => {
    const masters = new Masters(-3 * DAY_MS);
    const fromMs = masters.state.clockMs;
    await masters.clock.prepare(masters.propose);
    assert.deepEqual(masters.proposed, [{ kind: "step-clock", fromMs, toMs: masters.trueMs }]);
    assert.equal(masters.errorMs(), 0);
  });

  it("is not stepped if the clocks of the masters contradict each other", async () => {
    const masters = new Masters(-3 * DAY_MS);
    for (const id of [2, 3]) masters.aheadMs.set(id, id * DAY_MS);
    await masters.clock.prepare(masters.propose);
    assert.deepEqual(masters.proposed, []);
  });

  it("is reset by the operator after entries of the future, in either direction", async () => {
    const masters = new Masters(TEN_YEARS_MS);
    await masters.clock.prepare(masters.propose);
    assert.deepEqual(masters.proposed, []);
    assert.equal(masters.clock.aheadMs(), TEN_YEARS_MS);
    const step = await masters.clock.reset(masters.propose);
    assert.equal(step.fromMs - step.toMs, TEN_YEARS_MS);
    assert.deepEqual(masters.proposed, [{ kind: "step-clock", ...step }]);
    assert.equal(masters.errorMs(), 0);
    assert.equal(await masters.pass(1_000), 1_000);
  });

  it("gives no entry that follows a step the time before it", async () => {
    const masters = new Masters(TEN_YEARS_MS);
    await masters.clock.prepare(masters.propose);
    const resetting = masters.clock.reset(async (command) => {
      // An entry that was proposed before is applied while the step is on its way.
      masters.state.clockMs += 1;
      assert.equal(masters.errorMs(), 0);
      await masters.propose(command);
    });
    await resetting;
    assert.equal(masters.errorMs(), 0);
  });

  it("keeps the time of the state if a step fails", async () => {
    const masters = new Masters(TEN_YEARS_MS);
    await masters.clock.prepare(masters.propose);
    const failed = masters.clock.reset(() =>
      Promise.reject(new AshlarError("NOT_LEADER", "Cannot propose")),
    );
    await assert.rejects(failed, { code: "NOT_LEADER" });
    assert.equal(masters.errorMs(), TEN_YEARS_MS);
    masters.state.clockMs += 5;
    assert.equal(masters.errorMs(), TEN_YEARS_MS + 5);
  });

  it("steps forward again if a step of a new leader fails, and in no other way", async () => {
    const masters = new Masters(-3 * DAY_MS);
    const stamps: number[] = [];
    const lost = masters.clock.prepare(async () => {
      stamps.push(masters.errorMs());
      throw new AshlarError("NOT_LEADER", "Cannot propose");
    });
    await assert.rejects(lost, { code: "NOT_LEADER" });
    stamps.push(masters.errorMs());
    for (const errorMs of stamps) assert.ok(errorMs < -2 * DAY_MS, `${errorMs} ms`);
    await masters.clock.prepare(masters.propose);
    assert.deepEqual(
      masters.proposed.map(({ kind }) => kind),
      ["step-clock"],
    );
    assert.equal(masters.errorMs(), 0);
  });

  it("serves without a step that the state refuses for ever", async () => {
    const masters = new Masters(-3 * DAY_MS);
    await masters.clock.prepare(() =>
      Promise.reject(new AshlarError("TOO_LARGE", "Cannot set the time: too many steps")),
    );
    assert.ok(masters.errorMs() < -2 * DAY_MS);
    assert.match(JSON.stringify(masters.log.lines), /cannot be stepped/);
  });

  it("takes over the time of a new cluster from a majority, and then that of the state", async () => {
    const masters = new Masters();
    masters.state.clockMs = 0;
    masters.aheadMs.set(1, TEN_YEARS_MS);
    await masters.clock.prepare(masters.propose);
    assert.equal(masters.errorMs(), 0);
    assert.deepEqual(masters.proposed, []);
    masters.role = "follower";
    masters.state.clockMs = masters.trueMs + 7;
    masters.role = "leader";
    assert.equal(masters.errorMs(), 7);
  });
});
