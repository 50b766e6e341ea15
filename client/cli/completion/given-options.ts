import type { OptionDefinition } from "../command.ts";
import type { ShellWord } from "./shell-line.ts";

/** The words of a command after its name, split into options and arguments. */
export interface GivenWords {
  /** Values by long flag: `--dir`. A flag without a value has an empty one. */
  readonly values: ReadonlyMap<string, string>;
  readonly argumentCount: number;
  /** The option whose value is the next word. */
  readonly pending: OptionDefinition | null;
  /** The next word can be an option: no `--` was given. */
  readonly canBeOption: boolean;
}

/** Returns the long flags of an option: `--limit`. */
export function longFlagsOf({ flags }: OptionDefinition): string[] {
  return flags.match(/--[a-z0-9-]+/g) ?? [];
}

/** Returns whether an option takes a value. */
export function takesValue({ flags }: OptionDefinition): boolean {
  return flags.includes("<");
}

/** Splits words as commander does. An unknown option has no value. */
export function splitWords(
  words: readonly ShellWord[],
  options: readonly OptionDefinition[],
): GivenWords {
  const values = new Map<string, string>();
  let pending: OptionDefinition | null = null;
  let argumentCount = 0;
  let canBeOption = true;
  for (const word of words) {
    if (pending !== null) {
      record(values, pending, word ?? "");
      pending = null;
    } else if (canBeOption && word === "--") {
      canBeOption = false;
    } else if (canBeOption && word !== null && isOption(word)) {
      pending = readOption(word, options, values);
    } else argumentCount += 1;
  }
  return { values, argumentCount, pending, canBeOption };
}

/** Returns whether a word is an option. A single `-` is the standard input. */
export function isOption(word: string): boolean {
  return word.length > 1 && word.startsWith("-");
}

/** Finds the option of a long flag, or of the letter of a short one. */
export function findOption(
  flag: string,
  options: readonly OptionDefinition[],
): OptionDefinition | null {
  return options.find(({ flags }) => flags.split(/[ ,]+/).includes(flag)) ?? null;
}

/** Records the options of one word. @returns the option whose value is the next word, or null */
function readOption(
  word: string,
  options: readonly OptionDefinition[],
  values: Map<string, string>,
): OptionDefinition | null {
  if (!word.startsWith("--")) return readLetters(word.slice(1), options, values);
  const [flag = "", ...rest] = word.split("=");
  const option = findOption(flag, options);
  if (option === null) return null;
  record(values, option, rest.join("="));
  return takesValue(option) && rest.length === 0 ? option : null;
}

/** As `readOption`, for `-rf` or `-n5`: what follows an option with a value is the value. */
function readLetters(
  letters: string,
  options: readonly OptionDefinition[],
  values: Map<string, string>,
): OptionDefinition | null {
  if (letters === "") return null;
  const option = findOption(`-${letters.charAt(0)}`, options);
  if (option === null || !takesValue(option)) {
    if (option !== null) record(values, option, "");
    return readLetters(letters.slice(1), options, values);
  }
  record(values, option, letters.slice(1));
  return letters.length === 1 ? option : null;
}

function record(values: Map<string, string>, option: OptionDefinition, value: string): void {
  for (const flag of longFlagsOf(option)) values.set(flag, value);
}
