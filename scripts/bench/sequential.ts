import { open } from "node:fs/promises";
import { join } from "node:path";
import { LocalSource } from "../../client/cli/local/local-source.ts";
import { LocalPath } from "../../client/cli/local-path.ts";
import { writeRandomFile } from "../sample-tree.ts";
import { median } from "../statistics.ts";
import type { BenchContext } from "./bench-context.ts";
import { atMost } from "./measurement.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const REPEATS = 5;
/**
 * MooseFS 3.0.117, goal 3, fsync for everything, through its mount. docs/decisions has the source.
 */
const MOOSEFS = { put: { rate: 183, cpu: 9.7 }, get: { rate: 665, cpu: 2.33 } };

/**
 * Measures 1 GiB files: put with three durable replicas, get with all blocks verified, in turns.
 */
export async function measureSequential(bench: BenchContext): Promise<void> {
  const source = join(bench.work, "source");
  await writeRandomFile(source, GIB, 7);
  const puts: Transfer[] = [];
  const gets: Transfer[] = [];
  for (let repeat = 0; repeat < REPEATS; repeat += 1) {
    const path = `/file-${repeat}`;
    puts.push(await timed(bench, () => put(bench, source, path)));
    gets.push(await timed(bench, () => get(bench, path)));
  }
  reportRuns(bench, "put 1 GiB, 3 copies, synced", puts, { peer: MOOSEFS.put, cpuBound: 6 });
  reportRuns(bench, "get 1 GiB, verified", gets, { peer: MOOSEFS.get, cpuBound: 1.6 });
}

/** Duration and processor time of one transfer. */
interface Transfer {
  readonly seconds: number;
  readonly cpuSeconds: number;
}

async function timed(bench: BenchContext, work: () => Promise<void>): Promise<Transfer> {
  const cpuBefore = bench.cpu.seconds();
  const startMs = performance.now();
  await work();
  const seconds = (performance.now() - startMs) / 1000;
  return { seconds, cpuSeconds: bench.cpu.seconds() - cpuBefore };
}

async function put(bench: BenchContext, source: string, path: string): Promise<void> {
  // Changes every chunk: a chunk that already exists would not be sent again.
  const stamp = Buffer.from(path);
  const file = await open(source, "r+");
  for (let chunk = 0; chunk < 16; chunk += 1)
    await file.write(stamp, 0, stamp.length, chunk * 64 * MIB);
  await file.close();
  await using local = await LocalSource.open(new LocalPath(Buffer.from(source)), {
    signal: new AbortController().signal,
  });
  await bench.fileSystem.writeFile(path, local, { sizeHint: GIB });
}

async function get(bench: BenchContext, path: string): Promise<void> {
  let bytes = 0;
  for await (const slab of bench.fileSystem.readSlabs(path)) {
    bytes += slab.bytes.length;
    slab.release();
  }
  if (bytes !== GIB) throw new Error(`Cannot read ${path}: expected ${GIB} bytes: got ${bytes}`);
}

function reportRuns(
  bench: BenchContext,
  name: string,
  runs: readonly Transfer[],
  reference: {
    readonly peer: { readonly rate: number; readonly cpu: number };
    readonly cpuBound: number;
  },
): void {
  const suite = "sequential";
  const rate = 1024 / median(runs.map((run) => run.seconds));
  const cpu = median(runs.map((run) => run.cpuSeconds));
  const { peer, cpuBound } = reference;
  bench.report({
    suite,
    name,
    value: rate,
    unit: "MiB/s",
    peer: { name: "MooseFS", value: peer.rate },
    ratio: rate / peer.rate,
  });
  bench.report(
    atMost({
      suite,
      name: `${name}, CPU of all processes`,
      value: cpu,
      unit: "CPU-s/GiB",
      bound: cpuBound,
      peer: { name: "MooseFS", value: peer.cpu },
      ratio: cpu / peer.cpu,
    }),
  );
}
