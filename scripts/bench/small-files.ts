import { randomBytes } from "../sample-tree.ts";
import type { BenchContext } from "./bench-context.ts";
import { runMany } from "./rates.ts";

const suite = "small";
const unit = "files/s";
const COUNT = 2_000;
/** Peers: MooseFS with fsync for everything, 1 and 8 files in parallel, in files per second. */
const SIZES = [
  { name: "4 KiB", bytes: 4_096, putPeer: [391, 523], getPeer: [1_996, 3_802] },
  { name: "64 KiB", bytes: 65_536, putPeer: [341, 461], getPeer: [1_493, 2_461] },
] as const;

/**
 * Measures small files per second, 1 and 8 in parallel. Files of 4 KiB are stored in the namespace.
 */
export async function measureSmallFiles(bench: BenchContext): Promise<void> {
  const { fileSystem } = bench;
  for (const { name, bytes, putPeer, getPeer } of SIZES) {
    for (const [position, parallel] of [1, 8].entries()) {
      const directory = `/small-${bytes}-${parallel}`;
      await fileSystem.mkdir(directory);
      const content = randomBytes(bytes, bytes);
      const load = { count: COUNT, parallel };
      const puts = await runMany(load, (index) => {
        const own = Buffer.from(content);
        own.writeUInt32LE(index);
        own.writeUInt32LE(parallel, 4);
        return fileSystem.writeFile(`${directory}/${index}`, own);
      });
      report(bench, `put ${name} files, ${parallel} in parallel`, puts.rate, putPeer[position]);
      const gets = await runMany(load, (index) => fileSystem.readFile(`${directory}/${index}`));
      report(bench, `get ${name} files, ${parallel} in parallel`, gets.rate, getPeer[position]);
    }
  }
}

function report(bench: BenchContext, name: string, value: number, peer = 1): void {
  const ratio = value / peer;
  bench.report({ suite, name, value, unit, peer: { name: "MooseFS", value: peer }, ratio });
}
