import type { Bench } from "./bench.ts";

/** Runs `task` `count` times, `parallel` at a time. @returns how many a second */
async function rateOf(
  count: number,
  parallel: number,
  task: (index: number) => Promise<unknown>,
): Promise<number> {
  const startMs = performance.now();
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      const index = next;
      next += 1;
      await task(index);
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  return count / ((performance.now() - startMs) / 1000);
}

/** Measures and reports one rate. */
export async function reportRate(
  bench: Bench,
  figure: {
    readonly suite: string;
    readonly name: string;
    readonly unit: string;
    readonly count: number;
    readonly parallel: number;
    /** MooseFS with fsync everywhere on this kind of machine. */
    readonly peer?: number;
  },
  task: (index: number) => Promise<unknown>,
): Promise<void> {
  const { suite, unit, count, parallel, peer } = figure;
  const value = await rateOf(count, parallel, task);
  const name = `${figure.name}, ${parallel} in parallel`;
  const against =
    peer === undefined ? {} : { peer: { name: "MooseFS", value: peer }, ratio: value / peer };
  bench.report({ suite, name, value, unit, ...against });
}
