import { isAshlarError } from "../../../shared/base/errors.ts";
import { createHasher } from "../../../shared/platform/hasher.ts";
import type { Env } from "../../../shared/ports/env.ts";
import type { Log, LogFields } from "../../../shared/ports/log.ts";
import { MemoryNetwork } from "../../support/memory-network.ts";
import type { ProcessClock } from "../../support/process-clock.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { EventTrace } from "./event-trace.ts";
import { Rhythm } from "./load-phases.ts";
import { Dice } from "./simulation-random.ts";
import { Violation } from "./violation.ts";

const { hasher } = createHasher();

const NO_METRICS = {
  counter: () => ({ add: () => {} }),
  gauge: () => {},
  histogram: () => ({ observe: () => {} }),
};

const WIRE_MS_MIN = 0.1;
const WIRE_MS_MAX = 0.6;
/** A packet was lost: TCP sends it again after its shortest time-out (RFC 6298: 200 ms on Linux). */
const LOST_MS_MIN = 200;
const LOST_MS_MAX = 800;

/** What a master with a rotten state may have said: see state-corruption.ts. */
export interface Doubt {
  /**
   * When it last had read what is rotten, and when it led besides, or told anything to anybody but
   * a master, in world time.
   */
  readonly taintedMs: number;
  readonly misledMs: number;
}

/** What was computed is on its way for so long. */
export const ECHO_MS = 1_000;

/** Time, network and chance of one simulated cluster, and what happened in it. */
export class World {
  readonly seed: number;
  readonly clock = new VirtualClock();
  readonly trace = new EventTrace(this.clock);
  readonly network: MemoryNetwork;
  readonly rhythm: Rhythm;
  /** Share of writes to links that are delayed as TCP delays what it has to send twice. */
  lossShare = 0.0005;
  /** All wires take up to so much longer, in milliseconds. */
  jitterMs = 0;
  /** Hosts whose wires, disk and processor are slow, and how many times. */
  readonly slowness = new Map<string, number>();
  doubt: Doubt = {
    taintedMs: Number.NEGATIVE_INFINITY,
    misledMs: Number.NEGATIVE_INFINITY,
  };
  /** Whether a master has read what is rotten: a slip of its code is no bug. */
  isTainted: (host: string) => boolean = () => false;
  /** A process is about to be told something by another. */
  onHeard: (host: string, from: string) => void = () => {};
  /** Where something ran last. */
  lastHost = "";
  /** The first thing that went wrong. */
  #violation: Violation | null = null;
  readonly #wireDice: Dice;
  /** Hosts with wires of their own: they do not shift what comes to others by chance. */
  readonly #wireDiceOf = new Map<string, Dice>();

  constructor(seed: number) {
    this.seed = seed;
    this.#wireDice = this.dice("wire");
    this.rhythm = new Rhythm(this.clock, this.dice("rhythm"));
    this.network = new MemoryNetwork({
      clock: this.clock,
      delayMs: (from, to) => this.#delayMs(from, to),
      onReceive: (host, from) => {
        this.lastHost = host;
        this.onHeard(host, from);
      },
    });
  }

  dice(purpose: string): Dice {
    return Dice.of(this.seed, purpose);
  }

  /** What is sent to and from `host` from now on is delayed by a dice of its own. */
  giveWire(host: string): void {
    this.#wireDiceOf.set(host, this.dice(`wire of ${host}`));
  }

  /** Whether any master may have told anything since then that is not so. */
  wasDoubted(sinceMs: number): boolean {
    return this.doubt.taintedMs >= sinceMs - ECHO_MS;
  }

  /** Whether one that led, or that answered, may have. */
  wasMisled(sinceMs: number): boolean {
    return this.doubt.misledMs >= sinceMs - ECHO_MS;
  }

  slownessOf(host: string): number {
    return this.slowness.get(host) ?? 1;
  }

  /** The first violation counts: what comes after it follows from it. */
  fail(violation: Violation): void {
    if (this.#violation !== null) return;
    this.#violation = violation;
    this.trace.note("world", `VIOLATION ${violation.message}`);
  }

  /** Throws what was reported with `fail`. */
  check(): void {
    if (this.#violation !== null) throw this.#violation;
  }

  /** The world as a process of `host` sees it. */
  envOf(host: string, clock: ProcessClock, random: Dice): Env {
    const network = this.network.host(host, clock);
    return { clock, random, network, hasher, log: this.#logOf(host), metrics: NO_METRICS };
  }

  #logOf(host: string): Log {
    const line =
      (level: string) =>
      (message: string, fields: LogFields = {}): void => {
        const { error } = fields;
        const what = error instanceof Error ? `: ${error.message}` : "";
        this.trace.note(host, `${level} ${message}${what}`);
        // Failures of the world are AshlarErrors; anything else is a bug.
        if (!(error instanceof Error) || isAshlarError(error) || !isBug(error)) return;
        if (!this.isTainted(host)) {
          this.fail(new Violation(`${host}: ${message}${what}`, [host], { cause: error }));
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
    const dice = this.#wireDiceOf.get(from) ?? this.#wireDiceOf.get(to) ?? this.#wireDice;
    const slowness = Math.max(this.slownessOf(from), this.slownessOf(to));
    let delayMs = dice.between(WIRE_MS_MIN, WIRE_MS_MAX) * slowness;
    if (this.jitterMs > 0) delayMs += dice.fraction() * this.jitterMs;
    if (dice.isBelow(this.lossShare)) delayMs += dice.between(LOST_MS_MIN, LOST_MS_MAX);
    this.trace.mix(delayMs);
    return delayMs;
  }
}

/** Errors of sockets and signals are the world's too, though they are not of our making. */
function isBug(error: Error): boolean {
  return error.name !== "AbortError" && !("code" in error && error.code === "ECONNRESET");
}
