import { isAshlarError } from "../../../shared/base/errors.ts";
import { createHasher } from "../../../shared/platform/hasher.ts";
import type { Env } from "../../../shared/ports/env.ts";
import type { Log, LogFields } from "../../../shared/ports/log.ts";
import { MemoryNetwork } from "../../support/memory-network.ts";
import type { ProcessClock } from "../../support/process-clock.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { EventTrace } from "./event-trace.ts";
import { LoadPhases } from "./load-phases.ts";
import { SimulationRandom } from "./simulation-random.ts";
import { Violation } from "./violation.ts";

const { hasher } = createHasher();

const NO_METRICS = {
  counter: () => ({ add: () => {} }),
  gauge: () => {},
  histogram: () => ({ observe: () => {} }),
};

/** Latency of one write to a link, without faults. */
const LATENCY_MS_MIN = 0.1;
const LATENCY_MS_MAX = 0.6;
/**
 * Additional delay of a write whose packet was lost. TCP retransmits it after the minimum
 * retransmission timeout (RFC 6298; 200 ms on Linux).
 */
const RETRANSMIT_MS_MIN = 200;
const RETRANSMIT_MS_MAX = 800;

/**
 * Times at which a master with a corrupt state could send wrong data, in virtual time. Negative
 * infinity means never. `StateCorruption` maintains them.
 */
export interface CorruptionTimes {
  /** Last time at which a running master had read a corrupt row (the master is *affected*). */
  readonly lastAffectedMs: number;
  /**
   * Last time at which an affected master led, or sent data to a process that is not a master (the
   * master is *misleading*).
   */
  readonly lastMisleadingMs: number;
}

/** Upper bound of the time for which a message with wrong data can remain in flight. */
export const IN_FLIGHT_MS_MAX = 1_000;

/**
 * Virtual time, network and sources of randomness that the processes of one simulated cluster
 * share, and the trace of its events.
 */
export class SimulationEnvironment {
  readonly seed: number;
  readonly clock = new VirtualClock();
  readonly trace = new EventTrace(this.clock);
  readonly network: MemoryNetwork;
  readonly loadPhases: LoadPhases;
  /** Share of the writes to links that are delayed by the retransmission of a lost packet. */
  lossShare = 0.0005;
  /** Upper bound of the random additional delay of every write to a link. */
  jitterMsMax = 0;
  /** By slow host: the factor by which its links, its disk and its store commits are slower. */
  readonly slowdownFactors = new Map<string, number>();
  corruptionTimes: CorruptionTimes = {
    lastAffectedMs: Number.NEGATIVE_INFINITY,
    lastMisleadingMs: Number.NEGATIVE_INFINITY,
  };
  /**
   * Returns whether the master on this host has read a corrupt row. An unexpected error that it
   * logs is then not a bug. `StateCorruption` sets this function and the next one.
   */
  isAffected: (host: string) => boolean = () => false;
  /** Called before the process on `host` receives data of the process on `from`. */
  onReceive: (host: string, from: string) => void = () => {};
  /** Number of installed snapshots of which a part was kept from an interrupted transfer. */
  resumedSnapshotCount = 0;
  /** The host on which code ran last. */
  lastActiveHost = "";
  /** The first violation that was reported. */
  #violation: Violation | null = null;
  readonly #delayRandom: SimulationRandom;
  /** Sources for the delays of single hosts. Their traffic does not change the delays of others. */
  readonly #delayRandomByHost = new Map<string, SimulationRandom>();

  constructor(seed: number) {
    this.seed = seed;
    // The purposes are seeds: a changed string changes every run. Some contain former names of the
    // code.
    this.#delayRandom = this.randomFor("wire");
    this.loadPhases = new LoadPhases(this.clock, this.randomFor("rhythm"));
    this.network = new MemoryNetwork({
      clock: this.clock,
      delayMs: (from, to) => this.#delayMs(from, to),
      onReceive: (host, from) => {
        this.lastActiveHost = host;
        this.onReceive(host, from);
      },
    });
  }

  /** Returns a new source of randomness. `purpose` is part of its seed (SimulationRandom). */
  randomFor(purpose: string): SimulationRandom {
    return SimulationRandom.forPurpose(this.seed, purpose);
  }

  /** Draws the delays of all later writes from and to `host` from a separate source. */
  useOwnDelayRandom(host: string): void {
    this.#delayRandomByHost.set(host, this.randomFor(`wire of ${host}`));
  }

  /** Returns whether any master could send wrong data that arrived after `sinceMs`. */
  hadAffectedMaster(sinceMs: number): boolean {
    return this.corruptionTimes.lastAffectedMs >= sinceMs - IN_FLIGHT_MS_MAX;
  }

  /**
   * Returns whether a client could receive wrong data after `sinceMs`: directly from an affected
   * master, or because an affected master led.
   */
  hadMisleadingMaster(sinceMs: number): boolean {
    return this.corruptionTimes.lastMisleadingMs >= sinceMs - IN_FLIGHT_MS_MAX;
  }

  /** Returns the factor by which the host is slower. 1 means normal speed. */
  slowdownFactorOf(host: string): number {
    return this.slowdownFactors.get(host) ?? 1;
  }

  /** Records a violation. Only the first one is kept: it can be the cause of later ones. */
  reportViolation(violation: Violation): void {
    if (this.#violation !== null) return;
    this.#violation = violation;
    this.trace.note("simulation", `violation: ${violation.message}`);
  }

  /** @throws {Violation} the first violation that was passed to `reportViolation` */
  throwIfViolated(): void {
    if (this.#violation !== null) throw this.#violation;
  }

  /** Returns the ports of one process on `host`. */
  createEnv(host: string, clock: ProcessClock, random: SimulationRandom): Env {
    const network = this.network.host(host, clock);
    return { clock, random, network, hasher, log: this.#logOf(host), metrics: NO_METRICS };
  }

  #logOf(host: string): Log {
    const line =
      (level: string) =>
      (message: string, fields: LogFields = {}): void => {
        const { error } = fields;
        if (Number(fields["keptCount"] ?? 0) > 0 && message === "Installed a snapshot") {
          this.resumedSnapshotCount += 1;
        }
        const reason = error instanceof Error ? `: ${error.message}` : "";
        this.trace.note(host, `${level} ${message}${reason}`);
        // A failure of the disk, the network or a peer is an AshlarError. Other errors are bugs.
        if (!(error instanceof Error) || isAshlarError(error) || !isBug(error)) return;
        if (!this.isAffected(host)) {
          this.reportViolation(
            new Violation(`${host}: ${message}${reason}`, [host], { cause: error }),
          );
        }
      };
    const log: Log = {
      debug: () => {},
      info: line("info"),
      warn: line("warn"),
      error: line("error"),
      child: () => log,
    };
    return log;
  }

  #delayMs(from: string, to: string): number {
    const random =
      this.#delayRandomByHost.get(from) ?? this.#delayRandomByHost.get(to) ?? this.#delayRandom;
    const slowdownFactor = Math.max(this.slowdownFactorOf(from), this.slowdownFactorOf(to));
    let delayMs = random.uniform(LATENCY_MS_MIN, LATENCY_MS_MAX) * slowdownFactor;
    if (this.jitterMsMax > 0) delayMs += random.fraction() * this.jitterMsMax;
    const isLost = random.chance(this.lossShare);
    if (isLost) delayMs += random.uniform(RETRANSMIT_MS_MIN, RETRANSMIT_MS_MAX);
    this.trace.mix(delayMs);
    return delayMs;
  }
}

/**
 * Returns whether `error`, which is not an AshlarError, is a bug. Aborts and resets are not bugs.
 */
function isBug(error: Error): boolean {
  return error.name !== "AbortError" && !("code" in error && error.code === "ECONNRESET");
}
