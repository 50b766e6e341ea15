import { setTimeout as sleep } from "node:timers/promises";
import type { BenchContext } from "../bench-context.ts";
import { atLeast, atMost, type Measurement } from "../measurement.ts";
import type { EventLoops } from "./event-loops.ts";
import { leaderUsage, type Usage } from "./leader-usage.ts";

const suite = "fleet";
/** Duration of an idle part. */
const IDLE_MS = 10_000;
const MB = 1_000_000;
/** Longest turn of an event loop of a master. */
const TURN_MS_MAX = 50;

/** Time and bytes of the leader in a measured part. NaN if the leader changed meanwhile. */
export interface Spent {
  readonly seconds: number;
  readonly cpuSeconds: number;
  /** Bytes of its sockets and of its log and state. */
  readonly ioBytes: number;
}

/** Measures and reports the parts of the suite. */
export class FleetReport {
  readonly #bench: BenchContext;
  readonly #loops: EventLoops;
  #idleCpuShare = 0;

  constructor(bench: BenchContext, loops: EventLoops) {
    this.#bench = bench;
    this.#loops = loops;
  }

  /** Reports a figure without a bound. */
  figure(name: string, value: number, unit: string): void {
    this.#bench.report({ suite, name, value, unit });
  }

  /** Reports a figure next to that of another program in the same run. */
  compared(
    name: string,
    value: number,
    { unit, peer }: { readonly unit: string; readonly peer: NonNullable<Measurement["peer"]> },
  ): void {
    this.#bench.report({ suite, name, value, unit, peer, ratio: value / peer.value });
  }

  /** Reports a rate that must be at least `bound`. */
  atLeast(name: string, value: number, { unit, bound }: { unit: string; bound: number }): void {
    this.#bench.report(atLeast({ suite, name, value, unit, bound }));
  }

  /** Reports a cost that must be at most `bound`, next to that of another program if there is one. */
  atMost(
    name: string,
    value: number,
    {
      unit,
      bound,
      peer,
    }: { readonly unit: string; readonly bound: number; readonly peer?: Measurement["peer"] },
  ): void {
    const other = peer === undefined ? {} : { peer, ratio: value / peer.value };
    this.#bench.report(atMost({ suite, name, value, unit, bound, ...other }));
  }

  /**
   * Runs a part, and resolves with what the leader spent. Reports the longest turn of the event loops
   * of the masters, as the processor time of a gap. The longest gap itself is reported next to that of an
   * idle process.
   */
  async part<Result>(
    name: string,
    run: () => Promise<Result>,
  ): Promise<{ readonly result: Result; readonly spent: Spent }> {
    const { result, gaps } = await this.#loops.during(() => this.spending(run));
    const { masters, idleMs } = gaps;
    const turn = { unit: "CPU-ms", bound: TURN_MS_MAX };
    this.atMost(`longest turn of a master, ${name}`, masters.cpuMs, turn);
    const peer = { name: "idle process", value: idleMs };
    this.compared(`longest gap of a master, ${name}`, masters.wallMs, { unit: "ms", peer });
    return result;
  }

  /** Runs `run` and resolves with its result and what the leader spent meanwhile. */
  async spending<Result>(
    run: () => Promise<Result>,
  ): Promise<{ readonly result: Result; readonly spent: Spent }> {
    const before = await leaderUsage(this.#bench.cluster);
    const result = await run();
    const after = await leaderUsage(this.#bench.cluster);
    const isSame = before.pid === after.pid;
    return {
      result,
      spent: {
        seconds: (after.atMs - before.atMs) / 1_000,
        cpuSeconds: isSame ? after.cpuSeconds - before.cpuSeconds : Number.NaN,
        ioBytes: isSame ? after.ioBytes - before.ioBytes : Number.NaN,
      },
    };
  }

  /**
   * Lets the cluster rest. Reports the CPU time of the leader meanwhile, which `cpuMicros` subtracts
   * from now on, and resolves with what it spent.
   */
  async rest(name: string): Promise<Spent> {
    const { spent } = await this.part(`${name}, idle`, () => sleep(IDLE_MS));
    this.#idleCpuShare = spent.cpuSeconds / spent.seconds;
    this.figure(`CPU of the leader, ${name}, idle`, this.#idleCpuShare * 100, "% of a core");
    return spent;
  }

  /** Returns the CPU time of the leader for each of `count` actions in µs, without its idle costs. */
  cpuMicros(spent: Spent, count: number): number {
    return ((spent.cpuSeconds - this.#idleCpuShare * spent.seconds) * 1e6) / count;
  }

  /** Reports the memory and the disk space of the leader now. */
  async holdings(when: string): Promise<Usage> {
    const usage = await leaderUsage(this.#bench.cluster);
    const { memory, logBytes, storeBytes } = usage;
    this.figure(`leader RssAnon, ${when}`, memory.anonymous / MB, "MB");
    this.figure(`leader VmRSS, ${when}`, memory.total / MB, "MB");
    this.figure(`leader log on disk, ${when}`, logBytes / MB, "MB");
    this.figure(`leader store on disk, ${when}`, storeBytes / MB, "MB");
    return usage;
  }
}
