import { randomBytes } from "../sample-tree.ts";
import type { BenchContext } from "./bench-context.ts";
import { runMany } from "./rates.ts";

const suite = "small";
const COUNT = 2_000;
/** The number of writers or readers at the same time. */
const PARALLEL = [1, 8, 32];
/** Peers: MooseFS with fsync for everything, 1 and 8 files in parallel, in files per second. */
const SIZES = [
  { name: "4 KiB", bytes: 4_096, putPeer: [391, 523], getPeer: [1_996, 3_802] },
  { name: "4 KiB + 1", bytes: 4_097, putPeer: [], getPeer: [] },
  { name: "64 KiB", bytes: 65_536, putPeer: [341, 461], getPeer: [1_493, 2_461] },
] as const;

/**
 * Measures small files per second, and the CPU time of all processes for each. Files of 4 KiB are stored in the
 * namespace, larger ones in chunks.
 */
export async function measureSmallFiles(bench: BenchContext): Promise<void> {
  const { fileSystem } = bench;
  for (const { name, bytes, putPeer, getPeer } of SIZES) {
    for (const [position, parallel] of PARALLEL.entries()) {
      const directory = `/small-${bytes}-${parallel}`;
      await fileSystem.mkdir(directory);
      const content = randomBytes(bytes, bytes);
      const load = { name: `${name} files, ${parallel} in parallel`, parallel };
      await measure(
        bench,
        { ...load, name: `put ${load.name}`, peer: putPeer[position] },
        (index) => {
          const own = Buffer.from(content);
          own.writeUInt32LE(index);
          own.writeUInt32LE(parallel, 4);
          return fileSystem.writeFile(`${directory}/${index}`, own);
        },
      );
      await measure(
        bench,
        { ...load, name: `get ${load.name}`, peer: getPeer[position] },
        (index) => fileSystem.readFile(`${directory}/${index}`),
      );
    }
  }
}

async function measure(
  bench: BenchContext,
  load: { readonly name: string; readonly parallel: number; readonly peer: number | undefined },
  task: (index: number) => Promise<unknown>,
): Promise<void> {
  const { name, parallel, peer } = load;
  const cpuBefore = bench.cpu.seconds();
  const { rate } = await runMany({ count: COUNT, parallel }, task);
  const cpuMs = ((bench.cpu.seconds() - cpuBefore) * 1_000) / COUNT;
  const compared =
    peer === undefined ? {} : { peer: { name: "MooseFS", value: peer }, ratio: rate / peer };
  bench.report({ suite, name, value: rate, unit: "files/s", ...compared });
  bench.report({ suite, name: `${name}: CPU`, value: cpuMs, unit: "ms/file" });
}
