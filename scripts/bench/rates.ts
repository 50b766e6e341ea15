import { median } from "../statistics.ts";

/** Result of `runMany`. */
export interface Run {
  /** Tasks per second. */
  readonly rate: number;
  /** Median duration of one task, in ms. */
  readonly medianMs: number;
}

/** Runs `task` `count` times, up to `parallel` at the same time. */
export async function runMany(
  load: { readonly count: number; readonly parallel: number },
  task: (index: number) => Promise<unknown>,
): Promise<Run> {
  const { count, parallel } = load;
  const durations = new Float64Array(count);
  const startMs = performance.now();
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      const index = next;
      next += 1;
      const taskStartMs = performance.now();
      await task(index);
      durations[index] = performance.now() - taskStartMs;
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  const seconds = (performance.now() - startMs) / 1000;
  return { rate: count / seconds, medianMs: median(durations) };
}
