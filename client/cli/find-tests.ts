import { sizeOf } from "../../shared/display/format.ts";
import type { Attributes } from "../index.ts";
import { textOfBytes } from "./argument-text.ts";
import type { OptionValues } from "./command.ts";
import { invalidValue } from "./parse-values.ts";
import { matchesPath } from "./patterns/match.ts";
import { type PathPattern, parsePattern } from "./patterns/pattern.ts";

/** An entry that `find` examines. */
export interface FindEntry {
  /** The last name of the path; empty for the root. */
  readonly name: Uint8Array;
  readonly attributes: Attributes;
}

/** Returns whether an entry is selected. */
export type FindTest = (entry: FindEntry) => boolean;

/** A number with a sign, as find(1) takes it. */
interface Comparison {
  /** "+": more than `count`. "-": less. "": exactly. */
  readonly sign: string;
  readonly count: number;
}

/** The value of --size: the size in units, rounded up, is compared with the count. */
interface SizeComparison extends Comparison {
  readonly unitBytes: number;
}

/** The units of find(1). Without a unit a size is in blocks of 512 bytes. */
const SIZE_UNITS_BYTES: Readonly<Record<string, number>> = {
  "": 512,
  b: 512,
  c: 1,
  w: 2,
  k: 1024,
  M: 1024 ** 2,
  G: 1024 ** 3,
};
const DAY_MS = 86_400_000;
const KINDS: Readonly<Record<string, Attributes["kind"]>> = { f: "file", d: "directory" };

/** Parses the value of --size: "+10M". @throws {AshlarError} INVALID_ARGUMENT */
function parseSizeComparison(text: string): SizeComparison {
  const [, number = "", unit = ""] = /^([+-]?\d+)([bcwkMG]?)$/.exec(text) ?? [];
  const comparison = comparisonOf(number);
  const unitBytes = SIZE_UNITS_BYTES[unit];
  if (comparison !== null && unitBytes !== undefined) return { ...comparison, unitBytes };
  throw invalidValue("--size", "+N, -N or N with one of the units c, w, b, k, M, G", text);
}

/** Parses the value of --mtime: "-7". @throws {AshlarError} INVALID_ARGUMENT */
function parseDayComparison(text: string): Comparison {
  const comparison = comparisonOf(text);
  if (comparison !== null) return comparison;
  throw invalidValue("--mtime", "+N, -N or N days", text);
}

/** Parses the value of --type: "f", "d" or "f,d". @throws {AshlarError} INVALID_ARGUMENT */
function parseKinds(text: string): ReadonlyArray<Attributes["kind"]> {
  return text.split(",").map((letter) => {
    const kind = Object.hasOwn(KINDS, letter) ? KINDS[letter] : undefined;
    if (kind === undefined) throw invalidValue("--type", "f (file), d (directory) or f,d", text);
    return kind;
  });
}

/**
 * Parses the pattern of --name and --iname.
 *
 * @throws {AshlarError} INVALID_ARGUMENT for a pattern that no name can match
 */
function parseNamePattern(text: string, flag: string): PathPattern[] {
  if (text === "" || text.includes("/")) {
    throw invalidValue(flag, "a pattern of one name, without a slash", text);
  }
  return parsePattern(text);
}

/** Parses the pattern of --iname. A name is compared in lower case. */
function parseFoldedPattern(text: string): PathPattern[] {
  return parseNamePattern(lowerCase(text), "--iname");
}

function comparisonOf(text: string): Comparison | null {
  const [, sign = "", digits = ""] = /^([+-]?)(\d+)$/.exec(text) ?? [];
  const count = Number(digits);
  return digits !== "" && Number.isSafeInteger(count) ? { sign, count } : null;
}

/**
 * Returns the lower case of each character that has one of one character. The number of characters
 * does not change, so `?` matches the same names as without --iname.
 */
function lowerCase(text: string): string {
  return Array.from(text, (character) => {
    const lower = character.toLowerCase();
    return Array.from(lower).length === 1 ? lower : character;
  }).join("");
}

function holds({ sign, count }: Comparison, value: number): boolean {
  if (sign === "+") return value > count;
  return sign === "-" ? value < count : value === count;
}

/** Times that the tests of `find` compare with, in ms since the Unix epoch. */
export interface FindTimes {
  readonly nowMs: number;
  /** The times of the paths of --newer. */
  readonly newerMs: readonly number[];
}

/**
 * Parses the tests of all options. The result returns the test of all of them together: an entry
 * must pass each of them.
 *
 * @throws {AshlarError} INVALID_ARGUMENT
 */
export function parseFindTests(options: OptionValues): (times: FindTimes) => FindTest {
  const valuesOf = (key: string): readonly string[] =>
    (options[key] as readonly string[] | undefined) ?? [];
  const patterns = valuesOf("name").map((text) => parseNamePattern(text, "--name"));
  const folded = valuesOf("iname").map(parseFoldedPattern);
  const sizes = valuesOf("size").map(parseSizeComparison);
  const days = valuesOf("mtime").map(parseDayComparison);
  const kinds = valuesOf("type").map(parseKinds);
  return ({ nowMs, newerMs }) =>
    ({ name, attributes }) => {
      const { kind, mtimeMs } = attributes;
      const text = textOfBytes(name);
      const ageDays = Math.floor((nowMs - mtimeMs) / DAY_MS);
      return (
        patterns.every((pattern) => matchesPath(pattern, [text], kind)) &&
        folded.every((pattern) => matchesPath(pattern, [lowerCase(text)], kind)) &&
        kinds.every((each) => each.includes(kind)) &&
        sizes.every((size) => kind === "file" && holds(size, unitsOf(size, attributes))) &&
        days.every((comparison) => holds(comparison, ageDays)) &&
        newerMs.every((timeMs) => mtimeMs > timeMs)
      );
    };
}

function unitsOf({ unitBytes }: SizeComparison, attributes: Attributes): number {
  return Math.ceil(sizeOf(attributes) / unitBytes);
}
