import { allocate, locate } from "../../../shared/protocol/namespace-api.ts";
import type { BenchContext } from "../bench-context.ts";
import { runMany } from "../rates.ts";
import type { FleetReport } from "./fleet-report.ts";
import { CHUNKS_PER_FILE, loadedPath } from "./load-chunks.ts";
import { WireCaller } from "./wire-caller.ts";

const BOUNDS = { locatesPerSecond: 5_000, allocatedPerSecond: 5_000 };
const CONNECTIONS = 4;
const PARALLEL = 64;
const CHUNK_BYTES = 64 * 1024 * 1024;
const TARGET = { path: Buffer.from("/") };

/** Measures the calls that readers and writers of chunks make at the leader. */
export async function measureReads(
  { cluster }: BenchContext,
  report: FleetReport,
  files: number,
): Promise<void> {
  const callers = Array.from(
    { length: CONNECTIONS },
    (_, number) => new WireCaller(cluster, "client", `reader ${number}`),
  );
  const callerOf = (number: number): WireCaller => callers[number % CONNECTIONS] as WireCaller;
  /** Locates part of a file far from that of the call before. */
  const locatePart = (number: number, firstPosition: number, count: number): Promise<unknown> =>
    callerOf(number).call(locate, {
      target: { path: Buffer.from(loadedPath((number * 7_919) % files)) },
      read: { kind: "linearizable" },
      firstPosition,
      count,
    });
  const allocateChunks = (number: number, count: number): Promise<unknown> =>
    callerOf(number).call(allocate, {
      target: TARGET,
      count,
      chunkSizeBytes: CHUNK_BYTES,
      exclude: [],
      keep: [],
      clientHost: "client",
    });
  try {
    const locates = await metered(report, "locate of 1 chunk", {
      calls: 30_000,
      call: (number) => locatePart(number, number % CHUNKS_PER_FILE, 1),
    });
    const perSecond = { unit: "calls/s", bound: BOUNDS.locatesPerSecond };
    report.atLeast("locate of 1 chunk", locates, perSecond);
    const all = await metered(report, `locate of ${CHUNKS_PER_FILE} chunks`, {
      calls: 3_000,
      call: (number) => locatePart(number, 0, CHUNKS_PER_FILE),
    });
    report.figure(`locate of ${CHUNKS_PER_FILE} chunks`, all, "calls/s");
    for (const { count, calls } of [
      { count: 1, calls: 20_000 },
      { count: 16, calls: 3_000 },
    ]) {
      const name = `allocate, ${count} a call`;
      const rate = await metered(report, name, {
        calls,
        call: (number) => allocateChunks(number, count),
      });
      report.atLeast(name, rate * count, { unit: "chunks/s", bound: BOUNDS.allocatedPerSecond });
    }
  } finally {
    await Promise.all(callers.map((caller) => caller[Symbol.asyncDispose]()));
  }
}

/** Resolves with the number of calls per second. Reports the CPU time of the leader for one call. */
async function metered(
  report: FleetReport,
  name: string,
  load: { readonly calls: number; readonly call: (number: number) => Promise<unknown> },
): Promise<number> {
  const { calls, call } = load;
  await runMany({ count: calls / 10, parallel: PARALLEL }, call);
  const { result, spent } = await report.part(name, () =>
    runMany({ count: calls, parallel: PARALLEL }, call),
  );
  report.figure(`${name}, CPU of the leader`, report.cpuMicros(spent, calls), "CPU-µs");
  return result.rate;
}
