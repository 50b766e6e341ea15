import type { Bench } from "./bench.ts";
import { reportRate } from "./rates.ts";

/** Durable creates and linearizable stats a second, from one client process. */
export async function measureMetadata(bench: Bench): Promise<void> {
  const suite = "meta";
  const { fileSystem } = bench;
  for (const { parallel, count, createPeer, statPeer } of [
    { parallel: 1, count: 2_000, createPeer: 1_874, statPeer: 13_868 },
    { parallel: 8, count: 8_000, createPeer: 1_630, statPeer: 8_747 },
    { parallel: 64, count: 30_000, createPeer: undefined, statPeer: undefined },
  ]) {
    const directory = `/meta-${parallel}`;
    await fileSystem.mkdir(directory);
    await reportRate(
      bench,
      {
        suite,
        name: "create",
        unit: "ops/s",
        count,
        parallel,
        ...(createPeer === undefined ? {} : { peer: createPeer }),
      },
      (index) => fileSystem.create(`${directory}/${index}`),
    );
    await reportRate(
      bench,
      {
        suite,
        name: "stat",
        unit: "ops/s",
        count,
        parallel,
        ...(statPeer === undefined ? {} : { peer: statPeer }),
      },
      (index) => fileSystem.stat(`${directory}/${index}`),
    );
  }
}
