import { getHeapStatistics, setFlagsFromString } from "node:v8";

/** Bytes that the old generation may grow by before it is collected again. */
const GROWTH_BYTES = 128 * 1024 * 1024;
/**
 * Minimum growth in percent of the live bytes. With less, a large heap would be collected
 * constantly.
 */
const PERCENT_MIN = 50;
/** Bound of V8: four times the live bytes. */
const PERCENT_MAX = 300;
const INTERVAL_MS = 1_000;

/**
 * Keeps the heap of this process close to its live bytes. By default V8 lets a heap grow up to four
 * times between two collections. A small heap needs this growth: with a growth of 50 % of 20 MB,
 * collections took a fifth of a master's CPU time.
 *
 * V8 reads the flag at every collection, so it can be changed in a running process. NODE_OPTIONS
 * does not accept it.
 */
export function boundHeapGrowth(): void {
  let percent = 0;
  const update = (): void => {
    const wanted = growthPercent(getHeapStatistics().used_heap_size);
    if (wanted === percent) return;
    percent = wanted;
    setFlagsFromString(`--heap-growing-percent=${percent}`);
  };
  update();
  setInterval(update, INTERVAL_MS).unref();
}

/** Returns the growth in percent for a heap, as a multiple of 10, so that it changes rarely. */
export function growthPercent(heapBytes: number): number {
  const percent = Math.round((GROWTH_BYTES / heapBytes) * 10) * 10;
  return Math.min(PERCENT_MAX, Math.max(PERCENT_MIN, percent));
}
