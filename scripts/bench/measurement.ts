import type { LocalCluster } from "../../client/cli/cluster/local-cluster.ts";
import type { FileSystem } from "../../client/file-system.ts";
import type { CpuMeter } from "./cpu-seconds.ts";

/** One figure: one JSON object a line with --json. */
export interface Measurement {
  readonly suite: string;
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** What the figure must not pass: an upper bound for costs, a lower one for rates. */
  readonly bound?: number;
  readonly ok?: boolean;
  /** A figure of another system on this kind of machine, and ours over it. */
  readonly peer?: { readonly name: string; readonly value: number };
  readonly ratio?: number;
}

/** A figure that must be at most `bound`. */
export function atMost(figure: Omit<Measurement, "ok">): Measurement {
  return { ...figure, ok: figure.bound === undefined || figure.value <= figure.bound };
}

/** A figure that must be at least `bound`. */
export function atLeast(figure: Omit<Measurement, "ok">): Measurement {
  return { ...figure, ok: figure.bound === undefined || figure.value >= figure.bound };
}

/** A line for people. */
export function describe(measurement: Measurement): string {
  const { suite, name, value, unit, bound, ok, peer, ratio } = measurement;
  const figure = `${suite} ${name}`.padEnd(44) + `${format(value)} ${unit}`.padStart(18);
  const limit =
    bound === undefined ? "" : `  bound ${format(bound)} ${ok === true ? "held" : "MISSED"}`;
  const other =
    peer === undefined ? "" : `  ${peer.name}: ${format(peer.value)} (ratio ${ratio?.toFixed(2)})`;
  return figure + limit + other;
}

function format(value: number): string {
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** What a suite works with: a new cluster of 3 masters and 3 chunkservers, fsync on. */
export interface Bench {
  readonly cluster: LocalCluster;
  readonly fileSystem: FileSystem;
  readonly cpu: CpuMeter;
  readonly work: string;
  /** How many files the scale suite makes. */
  readonly files: number;
  /** Tells a figure as soon as it is known. */
  readonly report: (measurement: Measurement) => void;
}
