/**
 * Returns the median of `values`, which do not need to be sorted. Of an even number of values it is
 * the upper one of the middle two. NaN if there are no values.
 */
export function median(values: Iterable<number>): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[sorted.length >> 1] ?? Number.NaN;
}
