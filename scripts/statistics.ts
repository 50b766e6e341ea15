/**
 * Returns the median of `values`, which do not need to be sorted. Of an even number of values it is
 * the upper one of the middle two. NaN if there are no values.
 */
export function median(values: Iterable<number>): number {
  return quantile(values, 0.5);
}

/** Returns the value that this share of `values`, below 1, is less than or equal to. NaN if there are no values. */
export function quantile(values: Iterable<number>, share: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.floor(sorted.length * share)] ?? Number.NaN;
}
