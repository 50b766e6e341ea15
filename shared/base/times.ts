/**
 * Latest time in milliseconds since the Unix epoch; the earliest is its negative. A Date holds no
 * other times (ECMA-262, section 21.4.1.1), so a reader could not show them. Fractions are allowed.
 */
export const TIME_MS_MAX = 8.64e15;

/**
 * Returns the nearest time of the range. Masters of version 0.1 store any number, and their state
 * must stay readable.
 */
export function shownTime(timeMs: number): number {
  return Math.min(Math.max(timeMs, -TIME_MS_MAX), TIME_MS_MAX);
}
