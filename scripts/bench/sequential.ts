import { open } from "node:fs/promises";
import { join } from "node:path";
import { LocalSource } from "../../client/cli/local-source.ts";
import { writeRandomFile } from "../sample-tree.ts";
import { atMost, type Bench } from "./measurement.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const REPEATS = 5;
/** MooseFS 3.0.117 here, goal 3, fsync everywhere, through its mount: docs/decisions names the source. */
const MOOSEFS = { put: { rate: 183, cpu: 9.7 }, get: { rate: 665, cpu: 2.33 } };

/** 1 GiB put with three durable copies, and got with every block proved, one after the other. */
export async function measureSequential(bench: Bench): Promise<void> {
  const source = join(bench.work, "source");
  await writeRandomFile(source, GIB, 7);
  const puts: Run[] = [];
  const gets: Run[] = [];
  for (let repeat = 0; repeat < REPEATS; repeat += 1) {
    const path = `/file-${repeat}`;
    puts.push(await timed(bench, () => put(bench, source, path)));
    gets.push(await timed(bench, () => get(bench, path)));
  }
  reportRuns(bench, "put 1 GiB, 3 copies, synced", puts, { peer: MOOSEFS.put, cpuBound: 6 });
  reportRuns(bench, "get 1 GiB, verified", gets, { peer: MOOSEFS.get, cpuBound: 1.6 });
}

interface Run {
  readonly seconds: number;
  readonly cpuSeconds: number;
}

async function timed(bench: Bench, work: () => Promise<void>): Promise<Run> {
  const cpuBefore = bench.cpu.seconds();
  const startMs = performance.now();
  await work();
  const seconds = (performance.now() - startMs) / 1000;
  return { seconds, cpuSeconds: bench.cpu.seconds() - cpuBefore };
}

async function put(bench: Bench, source: string, path: string): Promise<void> {
  // Other files each time: equal chunks would be found to be there already.
  const stamp = Buffer.from(path);
  const file = await open(source, "r+");
  for (let chunk = 0; chunk < 16; chunk += 1)
    await file.write(stamp, 0, stamp.length, chunk * 64 * MIB);
  await file.close();
  await using local = await LocalSource.open(Buffer.from(source));
  await bench.fileSystem.writeFile(path, local, { sizeHint: GIB });
}

async function get(bench: Bench, path: string): Promise<void> {
  let bytes = 0;
  for await (const slab of bench.fileSystem.readSlabs(path)) {
    bytes += slab.bytes.length;
    slab.release();
  }
  if (bytes !== GIB) throw new Error(`Got ${bytes} bytes of ${GIB}`);
}

function reportRuns(
  bench: Bench,
  name: string,
  runs: readonly Run[],
  against: {
    readonly peer: { readonly rate: number; readonly cpu: number };
    readonly cpuBound: number;
  },
): void {
  const suite = "sequential";
  const rate = 1024 / median(runs.map((run) => run.seconds));
  const cpu = median(runs.map((run) => run.cpuSeconds));
  const { peer, cpuBound } = against;
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

function median(values: readonly number[]): number {
  return [...values].sort((left, right) => left - right)[values.length >> 1] ?? Number.NaN;
}
