import { randomBytes } from "../sample-tree.ts";
import type { Bench } from "./bench.ts";
import { reportRate } from "./rates.ts";

const COUNT = 2_000;
const SIZES = [
  { name: "4 KiB", bytes: 4_096, putPeer: [391, 523], getPeer: [1_996, 3_802] },
  { name: "64 KiB", bytes: 65_536, putPeer: [341, 461], getPeer: [1_493, 2_461] },
] as const;

/** Small files a second, one and eight at a time; 4 KiB files live with their names. */
export async function measureSmallFiles(bench: Bench): Promise<void> {
  const suite = "small";
  for (const { name, bytes, putPeer, getPeer } of SIZES) {
    for (const [position, parallel] of [1, 8].entries()) {
      const directory = `/small-${bytes}-${parallel}`;
      await bench.fileSystem.mkdir(directory);
      const content = randomBytes(bytes, bytes);
      await reportRate(
        bench,
        {
          suite,
          name: `put ${name} files`,
          unit: "files/s",
          count: COUNT,
          parallel,
          peer: putPeer[position] ?? 0,
        },
        (index) => {
          const own = Buffer.from(content);
          own.writeUInt32LE(index);
          own.writeUInt32LE(parallel, 4);
          return bench.fileSystem.writeFile(`${directory}/${index}`, own);
        },
      );
      await reportRate(
        bench,
        {
          suite,
          name: `get ${name} files`,
          unit: "files/s",
          count: COUNT,
          parallel,
          peer: getPeer[position] ?? 0,
        },
        (index) => bench.fileSystem.readFile(`${directory}/${index}`),
      );
    }
  }
}
