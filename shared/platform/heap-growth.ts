import { setFlagsFromString } from "node:v8";

/** What the old generation may grow by, in percent of what lived, before it is collected again. */
const GROWTH_PERCENT = 50;

/**
 * Keeps the heap of this process near to what lives in it. By default V8 lets a heap of this size
 * grow up to fourfold between two collections. Call it before the work begins.
 *
 * The flag is read at every collection, so that it may be set in a process that runs; it has no
 * form in NODE_OPTIONS.
 */
export function boundHeapGrowth(): void {
  setFlagsFromString(`--heap-growing-percent=${GROWTH_PERCENT}`);
}
