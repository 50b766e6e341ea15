import assert from "node:assert/strict";
import { isAshlarError } from "../../../shared/base/errors.ts";
import { TestGroup, type TestMember } from "../../master/driver/test-group.ts";
import { type FaultCounts, GroupFaults, SMALL } from "./group-faults.ts";

const ROUNDS = 60;

/** The numbers of faults and of operations by their result. */
export interface LogCounts extends FaultCounts {
  acknowledged: number;
  unknown: number;
  reads: number;
}

/**
 * Simulates three members whose state is their log, under faults, and asserts:
 *
 * - an acknowledged command is at its acknowledged index, exactly once, on every member;
 * - a read shows every command that was acknowledged before the read started (G1);
 * - no member stops without an injected fault.
 */
export async function simulateLog(seed: number, counts: LogCounts): Promise<void> {
  const group = await TestGroup.start({ ...SMALL, seed });
  const simulation = new LogSimulation(group, counts);
  for (let round = 0; round < ROUNDS; round += 1) await simulation.round();
  await simulation.finish();
}

class LogSimulation {
  readonly #group: TestGroup;
  readonly #counts: LogCounts;
  readonly #faults: GroupFaults;
  #commandCount = 0;
  readonly #pending = new Set<Promise<void>>();

  constructor(group: TestGroup, counts: LogCounts) {
    this.#group = group;
    this.#counts = counts;
    this.#faults = new GroupFaults(group, counts, () => this.#startRequests());
  }

  async round(): Promise<void> {
    const { random, clock } = this.#group;
    for (let burst = 1 + random.integer(6); burst > 0; burst -= 1) this.#startRequests();
    await this.#faults.injectFault();
    await clock.advance(random.integer(600));
    this.#faults.killFailedMembers();
  }

  /** Sends commands to every member that believes it is the leader, and a read to one member. */
  #startRequests(): void {
    const { random, members } = this.#group;
    const up = members.filter((member) => member.isUp);
    const leading = up.filter((member) => member.running.status().role === "leader");
    for (const member of leading) {
      const count = random.integer(6);
      for (let each = 0; each < count; each += 1) this.#track(this.#propose(member));
    }
    const reader = up[random.integer(3)];
    if (reader !== undefined) this.#track(this.#read(reader));
  }

  async #propose(member: TestMember): Promise<void> {
    this.#commandCount += 1;
    const text = `c${this.#commandCount} ${"x".repeat(this.#group.random.integer(60))}`;
    try {
      await this.#group.propose(member, text);
      this.#counts.acknowledged += 1;
    } catch (error) {
      assert.ok(isAshlarError(error), String(error));
      if (error.code === "COMMIT_UNKNOWN") this.#counts.unknown += 1;
    }
  }

  async #read(member: TestMember): Promise<void> {
    const { runNumber } = member;
    // The delay lets the read start while commands are being replicated.
    await this.#group.clock.sleep(this.#group.random.integer(80));
    if (member.runNumber !== runNumber || !member.isUp) return;
    const before = Math.max(0, ...this.#group.acknowledged.keys());
    let index: number;
    try {
      index = await member.running.confirmRead(2_000);
    } catch (error) {
      assert.ok(isAshlarError(error), String(error));
      return;
    }
    if (member.runNumber !== runNumber || !member.isUp) return;
    this.#counts.reads += 1;
    assert.ok(index >= before, `a read at ${index} shows the acknowledged index ${before}`);
    assert.ok(member.machine.appliedIndex >= index, "the read index is applied");
  }

  #track(work: Promise<void>): void {
    const tracked: Promise<void> = work.finally(() => this.#pending.delete(tracked));
    this.#pending.add(tracked);
  }

  /**
   * Repairs everything and asserts that all members have the same log with every acknowledged
   * entry.
   */
  async finish(): Promise<void> {
    const group = this.#group;
    await this.#faults.repairAll();
    await group.clock.advance(5_000);
    await group.clock.advanceFor(Promise.all(this.#pending), "all requests are answered");
    const last = group.propose(await group.leader(), "the last one");
    await group.clock.advanceFor(last, "the group commits another command");
    const history = await group.assertAgreement();
    const commands = history.filter((text) => text !== "");
    assert.equal(new Set(commands).size, commands.length, "no command is applied twice");
    this.#faults.countSnapshots();
    await group.stopAll();
  }
}
