import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isAshlarError } from "../../../shared/base/errors.ts";
import { TestGroup, type TestMember } from "../../master/driver/test-group.ts";

/**
 * Three members on simulated disks and a simulated network, whose power fails, whose cables are cut
 * and whose disks break, for as long as a seed says. Whatever happens:
 *
 * - what was acknowledged stands at the index that was named, once, on every member;
 * - a read shows everything that was acknowledged before it began (G1);
 * - no member stops for a reason of its own (an assertion would fail the test).
 */

const SEEDS = Number(process.env["ASHLAR_SIM_SEEDS"] ?? 12);
const FIRST_SEED = Number(process.env["ASHLAR_SIM_FIRST_SEED"] ?? 1);
const ROUNDS = 60;

const SMALL = {
  limits: {
    logTailEntries: 20,
    logTailBytes: 4_000,
    logSegmentBytes: 3_000,
    flushBytes: 400,
    snapshotPartBytes: 300,
  },
  timing: { flushIntervalMs: 100, snapshotStallMs: 2_000 },
};

interface Counts {
  acknowledged: number;
  unknown: number;
  reads: number;
  kills: number;
  cuts: number;
  stalls: number;
  diskFaults: number;
  snapshots: number;
  terms: number;
}

class Simulation {
  readonly group: TestGroup;
  readonly counts: Counts;
  #commandCount = 0;
  readonly #underWay = new Set<Promise<void>>();

  constructor(group: TestGroup, counts: Counts) {
    this.group = group;
    this.counts = counts;
  }

  async round(): Promise<void> {
    const { group } = this;
    for (let burst = group.random.integer(4); burst > 0; burst -= 1) this.#use();
    await this.#harm();
    await group.clock.advance(group.random.integer(600));
    for (const member of group.members) if (member.fatal !== null) this.#kill(member);
  }

  /** Clients come to any member that thinks it leads. */
  #use(): void {
    const { group } = this;
    const up = group.members.filter((member) => member.isUp);
    const leading = up.filter((member) => member.running.status().role === "leader");
    for (const member of leading) {
      const count = group.random.integer(6);
      for (let each = 0; each < count; each += 1) this.#track(this.#propose(member));
    }
    const reader = up[group.random.integer(3)];
    if (reader !== undefined) this.#track(this.#read(reader));
  }

  async #propose(member: TestMember): Promise<void> {
    this.#commandCount += 1;
    const text = `c${this.#commandCount} ${"x".repeat(this.group.random.integer(60))}`;
    try {
      await this.group.propose(member, text);
      this.counts.acknowledged += 1;
    } catch (error) {
      assert.ok(isAshlarError(error), String(error));
      if (error.code === "COMMIT_UNKNOWN") this.counts.unknown += 1;
    }
  }

  async #read(member: TestMember): Promise<void> {
    const { life } = member;
    const before = Math.max(0, ...this.group.acknowledged.keys());
    try {
      const index = await member.running.confirmRead(2_000);
      if (member.life !== life) return;
      this.counts.reads += 1;
      assert.ok(index >= before, `a read at ${index} misses what was acknowledged at ${before}`);
      assert.ok(member.machine.appliedIndex >= before, "the state shows what the read promises");
    } catch (error) {
      assert.ok(isAshlarError(error), String(error));
    }
  }

  #track(work: Promise<void>): void {
    const tracked: Promise<void> = work.finally(() => this.#underWay.delete(tracked));
    this.#underWay.add(tracked);
  }

  async #harm(): Promise<void> {
    const { group, counts } = this;
    const { random } = group;
    const member = group.member(1 + random.integer(3));
    const other = group.member(1 + (member.id % 3));
    const dice = random.integer(16);
    if (dice < 3 && member.isUp) {
      this.#kill(member);
    } else if (dice < 7) {
      await this.#startOneOf(group.members.filter((each) => !each.isUp));
    } else if (dice === 7) {
      counts.cuts += 1;
      if (random.fraction() < 0.5) group.network.cut(member.host, other.host);
      else group.network.cutOneWay(member.host, other.host);
    } else if (dice < 10) {
      group.network.heal();
    } else if (dice === 10) {
      counts.stalls += 1;
      group.clock.stall(random.integer(1_500));
    } else if (dice === 11) {
      this.#breakDisk(member);
    } else if (dice === 12) {
      group.network.reset(member.host, other.host);
    }
  }

  async #startOneOf(down: readonly TestMember[]): Promise<void> {
    const [member] = down;
    if (member === undefined) return;
    try {
      await this.group.startMember(member);
    } catch (error) {
      // Its disk is broken already: the next start has another one, with the same content.
      assert.ok(isAshlarError(error), String(error));
      assert.ok(["DISK_FAILED", "NO_SPACE"].includes(error.code), error.message);
      this.group.kill(member);
      member.faults.disk = () => null;
    }
  }

  /** The next few calls of a kind fail, until the power of the member fails too. */
  #breakDisk(member: TestMember): void {
    const { random } = this.group;
    const kind = random.fraction() < 0.5 ? "sync" : "write";
    const errno = random.fraction() < 0.5 ? "EIO" : "ENOSPC";
    let skip = random.integer(3);
    member.faults.disk = (operation) => {
      if (operation.kind !== kind || !operation.path.startsWith("log/")) return null;
      skip -= 1;
      if (skip >= 0) return null;
      this.counts.diskFaults += 1;
      return errno;
    };
  }

  #kill(member: TestMember): void {
    if (!member.isUp) return;
    this.counts.kills += 1;
    this.counts.terms = Math.max(this.counts.terms, member.running.status().term);
    this.group.kill(member);
    member.fatal = null;
    member.faults.disk = () => null;
  }

  /** Everything is mended: then everyone agrees, and everything that was promised is there. */
  async finish(): Promise<void> {
    const { group, counts } = this;
    group.network.heal();
    for (const member of group.members) {
      // Those with a broken disk have stepped out and come back with another.
      this.#kill(member);
      member.faults.disk = () => null;
      await group.startMember(member);
    }
    await group.clock.advance(5_000);
    await group.clock.advanceFor(Promise.all(this.#underWay), "everything is answered");
    const last = group.propose(await group.leader(), "the last one");
    await group.clock.advanceFor(last, "the group goes on");
    const history = await group.agree();
    const commands = history.filter((text) => text !== "");
    assert.equal(new Set(commands).size, commands.length, "nothing is applied twice");
    for (const member of group.members) {
      const messages = member.log.lines.map((line) => line.message);
      counts.snapshots += messages.filter((text) => text === "A snapshot is in place").length;
    }
    await group.stopAll();
  }
}

describe("consensus under faults", () => {
  it(`keeps its promises, seeds ${FIRST_SEED} to ${FIRST_SEED + SEEDS - 1}`, async () => {
    const counts: Counts = {
      acknowledged: 0,
      unknown: 0,
      reads: 0,
      kills: 0,
      cuts: 0,
      stalls: 0,
      diskFaults: 0,
      snapshots: 0,
      terms: 0,
    };
    for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed += 1) {
      try {
        const group = await TestGroup.start({ ...SMALL, seed });
        const simulation = new Simulation(group, counts);
        for (let round = 0; round < ROUNDS; round += 1) await simulation.round();
        await simulation.finish();
      } catch (error) {
        throw new Error(`Repeat with ASHLAR_SIM_SEEDS=1 ASHLAR_SIM_FIRST_SEED=${seed}`, {
          cause: error,
        });
      }
    }
    // A run in which nothing happened proves nothing.
    const text = JSON.stringify(counts);
    assert.ok(counts.acknowledged >= 40 * SEEDS, text);
    assert.ok(counts.reads >= 10 * SEEDS, text);
    assert.ok(counts.kills >= 5 * SEEDS, text);
    if (SEEDS < 10) return;
    assert.ok(counts.unknown > 0, text);
    assert.ok(counts.cuts > 0 && counts.stalls > 0 && counts.diskFaults > 0, text);
    assert.ok(counts.snapshots > 0, text);
  });
});
