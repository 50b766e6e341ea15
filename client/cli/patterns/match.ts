import { type NamePattern, type PathPattern, plainNameOf } from "./pattern.ts";
import type { NamePart } from "./tokens.ts";

/** The code points of a name (see `textOfBytes`: a byte that is not UTF-8 is one of them). */
function codePointsOf(name: string): number[] {
  return Array.from(name, (character) => character.codePointAt(0) as number);
}

/**
 * Returns whether the pattern of a name matches a name. It never examines the choices of an earlier
 * `*` again, so the work is at most the product of the two lengths.
 */
function matchesName(parts: readonly NamePart[], name: readonly number[]): boolean {
  let partIndex = 0;
  let nameIndex = 0;
  // The last `*`, and the end of the text that it matches.
  let star: { partIndex: number; end: number } | null = null;
  while (nameIndex < name.length) {
    const part = parts[partIndex];
    if (part?.kind === "any-text") {
      star = { partIndex, end: nameIndex };
      partIndex += 1;
    } else if (part !== undefined && matchesCharacter(part, name[nameIndex] as number)) {
      partIndex += 1;
      nameIndex += 1;
    } else if (star !== null) {
      star.end += 1;
      nameIndex = star.end;
      partIndex = star.partIndex + 1;
    } else return false;
  }
  return parts.slice(partIndex).every((part) => part.kind === "any-text");
}

function matchesCharacter(
  part: Exclude<NamePart, { readonly kind: "any-text" }>,
  codePoint: number,
): boolean {
  switch (part.kind) {
    case "character":
      return part.codePoint === codePoint;
    case "any-character":
      return true;
    default:
      return (
        part.isNegated !==
        part.ranges.some(({ first, last }) => first <= codePoint && codePoint <= last)
      );
  }
}

/** The state of a match after some names of a path: positions in the patterns. */
export class PatternState {
  readonly #patterns: readonly PathPattern[];
  /** For each pattern: the indexes of the name patterns that can match the next name. */
  readonly #positions: ReadonlyArray<ReadonlySet<number>>;

  private constructor(
    patterns: readonly PathPattern[],
    positions: ReadonlyArray<ReadonlySet<number>>,
  ) {
    this.#patterns = patterns;
    this.#positions = positions;
  }

  /** Returns the state before the first name. */
  static start(patterns: readonly PathPattern[]): PatternState {
    return new PatternState(
      patterns,
      patterns.map(({ names }) => withSkipped(names, [0])),
    );
  }

  /** Returns the state after another name of the path. */
  next(name: string): PatternState {
    const codePoints = codePointsOf(name);
    const positions = this.#patterns.map(({ names }, index) => {
      const after = [...(this.#positions[index] ?? [])].flatMap((position) =>
        step(names, position, codePoints),
      );
      return withSkipped(names, after);
    });
    return new PatternState(this.#patterns, positions);
  }

  /** Whether the names so far are a match. */
  isMatch(kind: "file" | "directory"): boolean {
    return this.#patterns.some(
      ({ names, isDirectory }, index) =>
        this.#positions[index]?.has(names.length) === true &&
        (!isDirectory || kind === "directory"),
    );
  }

  /** Whether a longer path can match. */
  get canContinue(): boolean {
    return this.#waiting().length > 0;
  }

  /** The names that can continue a match, sorted; null if one of them has wildcards. */
  get plainNames(): string[] | null {
    const texts = this.#waiting().map(plainNameOf);
    const plain = texts.filter((text) => text !== null);
    return plain.length === texts.length ? [...new Set(plain)].sort() : null;
  }

  #waiting(): NamePattern[] {
    return this.#patterns.flatMap(({ names }, index) => {
      const positions = [...(this.#positions[index] ?? [])];
      return positions.map((position) => names[position]).filter((name) => name !== undefined);
    });
  }
}

/** Returns the positions after a name that is matched to the pattern at `position`. */
function step(
  names: readonly NamePattern[],
  position: number,
  codePoints: readonly number[],
): number[] {
  const pattern = names[position];
  if (pattern === undefined) return [];
  if (pattern !== "any-depth") return matchesName(pattern, codePoints) ? [position + 1] : [];
  // A last `**` matches at least one name: `/a/**` is all below `/a`.
  return position === names.length - 1 ? [position, position + 1] : [position];
}

/** Adds the positions behind each `**` that can match no name. */
function withSkipped(names: readonly NamePattern[], positions: readonly number[]): Set<number> {
  const all = new Set<number>();
  for (const start of positions) {
    let position = start;
    all.add(position);
    while (names[position] === "any-depth" && position < names.length - 1) {
      position += 1;
      all.add(position);
    }
  }
  return all;
}

/** Returns whether the pattern matches the names of a path. */
export function matchesPath(
  patterns: readonly PathPattern[],
  names: readonly string[],
  kind: "file" | "directory",
): boolean {
  let state = PatternState.start(patterns);
  for (const name of names) state = state.next(name);
  return state.isMatch(kind);
}
