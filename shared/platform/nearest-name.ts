/** Returns the name that a misspelled `name` probably means, or null if none is similar. */
export function nearestName(name: string, names: readonly string[]): string | null {
  let nearest: string | null = null;
  let distanceMin = Math.max(1, Math.floor(name.length / 3)) + 1;
  for (const candidate of names) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < distanceMin) {
      nearest = candidate;
      distanceMin = distance;
    }
  }
  return nearest;
}

/** Returns the Levenshtein distance: the number of letters to insert, remove or replace. */
function editDistance(left: string, right: string): number {
  let previous = Array.from({ length: right.length + 1 }, (_, i) => i);
  for (let row = 1; row <= left.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= right.length; column += 1) {
      const exchange = left[row - 1] === right[column - 1] ? 0 : 1;
      const distance = Math.min(
        (previous[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (previous[column - 1] ?? 0) + exchange,
      );
      current.push(distance);
    }
    previous = current;
  }
  return previous[right.length] ?? 0;
}
