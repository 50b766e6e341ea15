/*
 * The reference: the table in docs/cli.md, written down a second time without any regard for speed.
 */

/** Returns the characters of a pattern. A class is one of them, with its brackets. */
function atoms(pattern: string): string[] {
  const found: string[] = [];
  for (let rest = pattern; rest !== ""; ) {
    const [first] = rest.match(/^\[(?:[!^][^/]|[^/!^])[^\]/]*\]/u) ?? rest.match(/^./su) ?? [""];
    found.push(first);
    rest = rest.slice(first.length);
  }
  return found;
}

/** Returns the positions of `{`, its commas and `}`; null if they are plain characters. */
function listAt(pattern: readonly string[], start: number): number[] | null {
  let depth = 0;
  const cuts = [start];
  for (let end = start; end < pattern.length; end += 1) {
    if (pattern[end] === "{") depth += 1;
    if (pattern[end] === "}") depth -= 1;
    if (depth === 0) return cuts.length > 1 ? [...cuts, end] : null;
    if (pattern[end] === "," && depth === 1) cuts.push(end);
  }
  return null;
}

/** Returns the patterns without braces, one list of characters each. */
function alternatives(pattern: readonly string[]): string[][] {
  const start = pattern.indexOf("{");
  if (start < 0) return [[...pattern]];
  const cuts = listAt(pattern, start);
  // Plain braces are marked, so that they are not examined again.
  if (cuts === null) return alternatives(pattern.with(start, "[{]"));
  return cuts.slice(1).flatMap((cut, index) => {
    const alternative = pattern.slice((cuts[index] as number) + 1, cut);
    const end = (cuts.at(-1) as number) + 1;
    return alternatives([...pattern.slice(0, start), ...alternative, ...pattern.slice(end)]);
  });
}

function matchesClass(content: string, character: string): boolean {
  const isNegated = /^[!^]/.test(content);
  const members = isNegated ? content.slice(1) : content;
  const ranges = [...members.matchAll(/(.)-(.)|(.)/gsu)].map(([, first, last, single]) => [
    (first ?? single)?.codePointAt(0) as number,
    (last ?? single)?.codePointAt(0) as number,
  ]);
  const point = character.codePointAt(0) as number;
  const isMember = ranges.some(([first = 0, last = 0]) => first <= point && point <= last);
  return isMember !== isNegated;
}

function matchesOneName(pattern: readonly string[], name: readonly string[]): boolean {
  const [atom, ...rest] = pattern;
  const [character, ...others] = name;
  if (atom === undefined) return name.length === 0;
  if (atom === "*") {
    return matchesOneName(rest, name) || (name.length > 0 && matchesOneName(pattern, others));
  }
  if (character === undefined) return false;
  const isMatch =
    atom === "?" ||
    atom === character ||
    (atom.length > 2 && atom.startsWith("[") && matchesClass(atom.slice(1, -1), character));
  return isMatch && matchesOneName(rest, others);
}

function matchesNames(
  pattern: ReadonlyArray<readonly string[]>,
  names: readonly string[],
): boolean {
  const [first, ...rest] = pattern;
  if (first === undefined) return names.length === 0;
  if (first.join("") === "**") {
    if (rest.length === 0) return names.length > 0;
    return names.concat("").some((_, count) => matchesNames(rest, names.slice(count)));
  }
  const [name, ...others] = names;
  return (
    name !== undefined && matchesOneName(first, Array.from(name)) && matchesNames(rest, others)
  );
}

/** Returns whether a pattern matches the path of a file, by the table in docs/cli.md. */
export function matchesByTable(pattern: string, path: string): boolean {
  return alternatives(atoms(pattern)).some((alternative) => {
    const names: string[][] = [[]];
    for (const atom of alternative) {
      if (atom === "/") names.push([]);
      else names.at(-1)?.push(atom);
    }
    const isDirectory = names.length > 1 && names.at(-1)?.length === 0;
    const isFound = matchesNames(
      names.filter((name) => name.length > 0),
      path.split("/"),
    );
    return isFound && !isDirectory;
  });
}
