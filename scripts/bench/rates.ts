/** What `runMany` has seen. */
export interface Run {
  /** Tasks a second. */
  readonly rate: number;
  /** Median of how long one task took, in ms. */
  readonly medianMs: number;
}

/** Runs `task` `count` times, `parallel` at a time. */
export async function runMany(
  how: { readonly count: number; readonly parallel: number },
  task: (index: number) => Promise<unknown>,
): Promise<Run> {
  const { count, parallel } = how;
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
  durations.sort();
  return { rate: count / seconds, medianMs: durations[Math.floor(count / 2)] ?? 0 };
}
