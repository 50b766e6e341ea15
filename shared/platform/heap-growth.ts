import { getHeapStatistics, setFlagsFromString } from "node:v8";

/** What the old generation may grow by before it is collected again, whatever lives in it. */
const GROWTH_BYTES = 128 * 1024 * 1024;
/** … in percent of what lives: never less, or a large heap would be collected all the time. */
const PERCENT_MIN = 50;
/** V8's own bound: fourfold. */
const PERCENT_MAX = 300;
const INTERVAL_MS = 1_000;

/**
 * Keeps the heap of this process near to what lives in it. By default V8 lets a heap grow up to
 * fourfold between two collections, which is right for a small one: 50 % of 20 MB were collected so
 * often that it took a fifth of a master's time.
 *
 * The flag is read at every collection, so that it may be set in a process that runs; it has no
 * form in NODE_OPTIONS.
 */
export function boundHeapGrowth(): void {
  let percent = 0;
  const look = (): void => {
    const wanted = growthPercent(getHeapStatistics().used_heap_size);
    if (wanted === percent) return;
    percent = wanted;
    setFlagsFromString(`--heap-growing-percent=${percent}`);
  };
  look();
  setInterval(look, INTERVAL_MS).unref();
}

/** In whole tens, so that it changes rarely. */
export function growthPercent(heapBytes: number): number {
  const percent = Math.round((GROWTH_BYTES / heapBytes) * 10) * 10;
  return Math.min(PERCENT_MAX, Math.max(PERCENT_MIN, percent));
}
