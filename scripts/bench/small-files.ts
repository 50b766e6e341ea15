import { randomBytes } from "../sample-tree.ts";
import type { Bench } from "./measurement.ts";
import { runMany } from "./rates.ts";

const suite = "small";
const unit = "files/s";
const COUNT = 2_000;
/** Peers: MooseFS with fsync everywhere, one file at a time and eight. */
const SIZES = [
  { name: "4 KiB", bytes: 4_096, putPeer: [391, 523], getPeer: [1_996, 3_802] },
  { name: "64 KiB", bytes: 65_536, putPeer: [341, 461], getPeer: [1_493, 2_461] },
] as const;

/** Small files a second, one and eight at a time; 4 KiB files live with their names. */
export async function measureSmallFiles(bench: Bench): Promise<void> {
  const { fileSystem } = bench;
  for (const { name, bytes, putPeer, getPeer } of SIZES) {
    for (const [position, parallel] of [1, 8].entries()) {
      const directory = `/small-${bytes}-${parallel}`;
      await fileSystem.mkdir(directory);
      const content = randomBytes(bytes, bytes);
      const how = { count: COUNT, parallel };
      const puts = await runMany(how, (index) => {
        const own = Buffer.from(content);
        own.writeUInt32LE(index);
        own.writeUInt32LE(parallel, 4);
        return fileSystem.writeFile(`${directory}/${index}`, own);
      });
      report(bench, `put ${name} files, ${parallel} in parallel`, puts.rate, putPeer[position]);
      const gets = await runMany(how, (index) => fileSystem.readFile(`${directory}/${index}`));
      report(bench, `get ${name} files, ${parallel} in parallel`, gets.rate, getPeer[position]);
    }
  }
}

function report(bench: Bench, name: string, value: number, peer = 1): void {
  const ratio = value / peer;
  bench.report({ suite, name, value, unit, peer: { name: "MooseFS", value: peer }, ratio });
}
