import type { LocalCluster } from "../../../client/cli/cluster/local-cluster.ts";
import { allocate, type Located, locate } from "../../../shared/protocol/namespace-api.ts";
import type { BenchContext } from "../bench-context.ts";
import { runMany } from "../rates.ts";
import { BareResponder } from "./bare-responder.ts";
import { CHUNK_BYTES, CHUNKS_PER_FILE, loadedPath } from "./chunk-plan.ts";
import type { FleetReport } from "./fleet-report.ts";
import { WireCaller } from "./wire-caller.ts";

/** Bounds a second, for a leader that has a core of its own. */
const BOUNDS = { locates: 5_000, allocatedChunks: 5_000 };
const CONNECTIONS = 4;
const PARALLEL = 64;
const TARGET = { path: Buffer.from("/") };
const LOCATES = 30_000;

/** Calls to one master, spread over connections. */
class Callers implements AsyncDisposable {
  readonly #callers: readonly WireCaller[];
  readonly #files: number;

  constructor(cluster: Pick<LocalCluster, "clusterId" | "masters">, files: number) {
    this.#files = files;
    this.#callers = Array.from(
      { length: CONNECTIONS },
      (_, number) => new WireCaller(cluster, "client", `reader ${number}`),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#callers.map((caller) => caller[Symbol.asyncDispose]()));
  }

  /** Locates part of a file far from that of the call before. */
  locate(number: number, firstPosition: number, count: number): Promise<Located> {
    return this.#callerOf(number).call(locate, {
      target: { path: Buffer.from(loadedPath((number * 7_919) % this.#files)) },
      read: { kind: "linearizable" },
      firstPosition,
      count,
    });
  }

  allocate(number: number, count: number): Promise<unknown> {
    return this.#callerOf(number).call(allocate, {
      target: TARGET,
      count,
      chunkSizeBytes: CHUNK_BYTES,
      exclude: [],
      keep: [],
      clientHost: "client",
    });
  }

  #callerOf(number: number): WireCaller {
    return this.#callers[number % CONNECTIONS] as WireCaller;
  }
}

/** A series of equal calls. */
interface Load {
  readonly calls: number;
  /** Chunks or answers in one call, for the bound. */
  readonly items: number;
  readonly call: (number: number) => Promise<unknown>;
}

/** Measures the calls that readers and writers of chunks make at the leader. */
export async function measureReads(
  { cluster }: BenchContext,
  report: FleetReport,
  files: number,
): Promise<void> {
  await using callers = new Callers(cluster, files);
  const one = await metered(report, "locate of 1 chunk", {
    calls: LOCATES,
    items: 1,
    call: (number) => callers.locate(number, number % CHUNKS_PER_FILE, 1),
  });
  const bare = await rateOfBareResponder(cluster, report, await callers.locate(0, 0, 1));
  report.compared("locate of 1 chunk", one.rate, {
    unit: "calls/s",
    peer: { name: "bare responder", value: bare },
  });
  const locates = { unit: "calls/CPU-s", bound: BOUNDS.locates };
  report.atLeast("locate of 1 chunk, a second of CPU of the leader", one.perCpuSecond, locates);
  const all = await metered(report, `locate of ${CHUNKS_PER_FILE} chunks`, {
    calls: 3_000,
    items: 1,
    call: (number) => callers.locate(number, 0, CHUNKS_PER_FILE),
  });
  report.figure(`locate of ${CHUNKS_PER_FILE} chunks`, all.rate, "calls/s");
  for (const { count, calls } of [
    { count: 1, calls: 20_000 },
    { count: 16, calls: 3_000 },
  ]) {
    const name = `allocate, ${count} a call`;
    const call = (number: number): Promise<unknown> => callers.allocate(number, count);
    const allocated = await metered(report, name, { calls, items: count, call });
    report.figure(name, allocated.rate, "chunks/s");
    const chunks = { unit: "chunks/CPU-s", bound: BOUNDS.allocatedChunks };
    report.atLeast(`${name}, a second of CPU of the leader`, allocated.perCpuSecond, chunks);
  }
}

/**
 * Runs the calls. Resolves with the items per second, and per second of the leader's CPU time. The
 * latter is what the leader reaches with a core of its own, on a machine that others use too. The CPU
 * time contains that of the fleet, of which nothing is subtracted.
 */
async function metered(
  report: FleetReport,
  name: string,
  { calls, items, call }: Load,
): Promise<{ readonly rate: number; readonly perCpuSecond: number }> {
  await runMany({ count: calls / 10, parallel: PARALLEL }, call);
  const { result, spent } = await report.part(name, () =>
    runMany({ count: calls, parallel: PARALLEL }, call),
  );
  const micros = (spent.cpuSeconds * 1e6) / calls;
  report.figure(`${name}, CPU of the leader`, micros, "CPU-µs");
  return { rate: result.rate * items, perCpuSecond: (1e6 / micros) * items };
}

/** Returns the calls per second of a process that answers each call with `located`. */
async function rateOfBareResponder(
  { clusterId }: LocalCluster,
  report: FleetReport,
  located: Located,
): Promise<number> {
  await using responder = await BareResponder.start(clusterId, located);
  await using callers = new Callers(responder.cluster, 1);
  const call = (number: number): Promise<unknown> => callers.locate(number, 0, 1);
  await runMany({ count: LOCATES / 10, parallel: PARALLEL }, call);
  const before = responder.cpuSeconds;
  const { rate } = await runMany({ count: LOCATES, parallel: PARALLEL }, call);
  const micros = ((responder.cpuSeconds - before) * 1e6) / LOCATES;
  report.figure("locate of 1 chunk, CPU of the bare responder", micros, "CPU-µs");
  return rate;
}
