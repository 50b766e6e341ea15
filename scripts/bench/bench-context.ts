import type { LocalCluster } from "../../client/cli/cluster/local-cluster.ts";
import type { FileSystem } from "../../client/file-system.ts";
import type { CpuMeter } from "./cpu-seconds.ts";
import type { Measurement } from "./measurement.ts";

/** Numbers of the things that the fleet suite simulates. */
export interface FleetSize {
  readonly chunks: number;
  /** Chunkservers. */
  readonly servers: number;
  /** Client sessions, idle and kept alive. */
  readonly sessions: number;
  /** Watchers of separate directories. */
  readonly watchers: number;
}

/** The environment of a suite that needs no cluster. */
export interface AloneContext {
  /** A temporary directory. */
  readonly work: string;
  /** Duration of a suite that runs for a given time. */
  readonly seconds: number;
  /** Reports a figure as soon as it is measured. */
  readonly report: (measurement: Measurement) => void;
}

/** The fleet suite. */
export interface FleetOptions extends FleetSize {
  /** Directory of prepared states that is kept. Null: a temporary one. */
  readonly prepared: string | null;
}

/**
 * The environment of a suite: a new cluster of 3 masters, and 3 chunkservers unless the suite simulates
 * them, with fsync on.
 */
export interface BenchContext extends AloneContext {
  readonly cluster: LocalCluster;
  readonly fileSystem: FileSystem;
  readonly cpu: CpuMeter;
  /** Number of files that the scale suite creates. */
  readonly files: number;
  readonly fleet: FleetOptions;
}
