import type { ArgumentKind, CommandDefinition, OptionDefinition, ValueKind } from "../command.ts";
import { DAEMONS } from "../daemons.ts";
import { GLOBAL_OPTIONS } from "../global-options.ts";
import { HELP_TOPICS } from "../help-topics.ts";
import {
  findOption,
  type GivenWords,
  isOption,
  longFlagsOf,
  splitWords,
  takesValue,
} from "./given-options.ts";
import type { ShellWord } from "./shell-line.ts";

/** The kind of a value; `either-path` is a path in the cluster, or else on this machine. */
export type ExpectedKind = ValueKind | "either-path";

/** The possible meanings of the word at the cursor. */
export interface ExpectedWord {
  /** Names of commands, topics and flags. */
  readonly words: readonly string[];
  readonly value: ExpectedKind;
  /** Number of characters of the word before the value: those of `--newer=`. */
  readonly valueStart: number;
  /** Values of the options on the line by long flag. */
  readonly given: ReadonlyMap<string, string>;
}

/** The words of a line around the cursor. */
export interface LineWords {
  /** The words after `ashlar` and before the word at the cursor. */
  readonly words: readonly ShellWord[];
  /** The beginning of the word at the cursor. */
  readonly word: string;
  /** Another argument follows the word at the cursor. */
  readonly hasMore: boolean;
}

const NOTHING = { words: [], value: "text", valueStart: 0, given: new Map() } as const;

/** Returns what the word at the cursor can be, as the table of commands declares it. */
export function expectedWord(
  line: LineWords,
  commands: readonly CommandDefinition[],
): ExpectedWord {
  const { names, rest, globals } = splitName(line.words, commands);
  if (globals.pending !== null) return expectedValue(globals.pending, globals, 0);
  const [head = ""] = names;
  if (head === "help") return { ...NOTHING, words: topicsAfter(names.slice(1), commands) };
  const name = names.join(" ");
  const definition = commands.find((each) => each.name === name);
  const below = rest.length === 0 ? wordsAfter(names, commands) : [];
  if (definition === undefined) {
    if (names.length > 0 && below.length === 0) return daemonWord(head);
    const flags = isFlag(line.word) ? flagsOf(GLOBAL_OPTIONS) : [];
    return (
      expectedOption(line.word, GLOBAL_OPTIONS, globals) ?? {
        ...NOTHING,
        words: [...below, ...flags],
      }
    );
  }
  const found = expectedOf(definition, { ...line, words: rest }, globals);
  return { ...found, words: [...below, ...found.words] };
}

/** A daemon reads files on this machine. */
function daemonWord(name: string): ExpectedWord {
  // The table has no daemons. All values of their flags are paths, addresses or numbers.
  return { ...NOTHING, value: Object.hasOwn(DAEMONS, name) ? "local-path" : "text" };
}

interface SplitName {
  /** The words of the name of a command. */
  readonly names: readonly string[];
  /** The words after the name. */
  readonly rest: readonly ShellWord[];
  /** The options before the name. */
  readonly globals: GivenWords;
}

/** Splits the words of a line at the end of the name of the command. */
function splitName(words: readonly ShellWord[], commands: readonly CommandDefinition[]): SplitName {
  const first = words.findIndex(
    (_, index) => splitWords(words.slice(0, index + 1), GLOBAL_OPTIONS).argumentCount > 0,
  );
  if (first < 0) return { names: [], rest: [], globals: splitWords(words, GLOBAL_OPTIONS) };
  const globals = splitWords(words.slice(0, first), GLOBAL_OPTIONS);
  const head = words[first] ?? "";
  const names = [head];
  for (let end = first + 1; end < words.length; end += 1) {
    const longer = [...names, words[end]].join(" ");
    const isKnown = commands.some(({ name }) => `${name} `.startsWith(`${longer} `));
    if (!isKnown && head !== "help") break;
    names.push(words[end] ?? "");
  }
  return { names, rest: words.slice(first + names.length), globals };
}

/** Returns the words that can follow the first words of the name of a command. */
function wordsAfter(names: readonly string[], commands: readonly CommandDefinition[]): string[] {
  const found = commands
    .map(({ name }) => name.split(" "))
    .filter((words) => words.length > names.length && names.every((each, at) => words[at] === each))
    .map((words) => words[names.length] as string);
  const others = names.length === 0 ? ["help", ...Object.keys(DAEMONS)] : [];
  return [...new Set([...found, ...others])];
}

function topicsAfter(names: readonly string[], commands: readonly CommandDefinition[]): string[] {
  const topics = names.length === 0 ? HELP_TOPICS.map(({ name }) => name) : [];
  return [...wordsAfter(names, commands), ...topics];
}

function expectedOf(
  definition: CommandDefinition,
  { words, word, hasMore }: LineWords,
  globals: GivenWords,
): ExpectedWord {
  const own = definition.options ?? [];
  const options = [...own, ...GLOBAL_OPTIONS];
  const rewrite = (each: readonly ShellWord[]): readonly ShellWord[] =>
    definition.rewrite?.(
      each.map((text) => text ?? ""),
      own,
    ) ?? each;
  const after = splitWords(rewrite(words), options);
  const given = { ...after, values: new Map([...globals.values, ...after.values]) };
  if (given.pending !== null) return expectedValue(given.pending, given, 0);
  if (given.canBeOption && isFlag(word)) {
    const long = flagsOf(options);
    // The command rewrites long flags with one dash, as find(1) has them.
    const short = long.map((flag) => flag.slice(1)).filter((flag) => rewrite([flag])[0] !== flag);
    return (
      expectedOption(word, options, given) ?? {
        ...NOTHING,
        words: word.startsWith("--") ? long : [...long, ...short],
        given: given.values,
      }
    );
  }
  const value = argumentKind(definition, given, { word, hasMore });
  return { ...NOTHING, value, given: given.values };
}

const isFlag = (word: string): boolean => word === "-" || isOption(word);

function flagsOf(options: readonly OptionDefinition[]): string[] {
  return [...options.flatMap(longFlagsOf), "--help"];
}

/** Returns what the value in `--flag=value` can be; null if the word is no such option. */
function expectedOption(
  word: string,
  options: readonly OptionDefinition[],
  given: GivenWords,
): ExpectedWord | null {
  const [flag] = /^--[a-z0-9-]+(?==)/.exec(word) ?? [];
  if (flag === undefined) return null;
  const option = findOption(flag, options);
  if (option === null || !takesValue(option)) return NOTHING;
  return expectedValue(option, given, flag.length + 1);
}

function expectedValue(
  { choices, valueKind }: OptionDefinition,
  { values }: GivenWords,
  valueStart: number,
): ExpectedWord {
  return { ...NOTHING, value: choices ?? valueKind ?? "text", valueStart, given: values };
}

function argumentKind(
  { arguments: notation = "", argumentKinds = [], options = [] }: CommandDefinition,
  { argumentCount, values }: GivenWords,
  { word, hasMore }: Pick<LineWords, "word" | "hasMore">,
): ExpectedKind {
  const further = notation.includes("...") ? argumentKinds.at(-1) : undefined;
  const kind = argumentKinds[argumentCount] ?? further ?? "text";
  if (!isTransfer(kind)) return kind;
  const sourceOption = options.find(({ givesSources }) => givesSources === true);
  const hasSources = longFlagsOf(sourceOption ?? { flags: "", description: "" }).some((flag) =>
    values.has(flag),
  );
  if (hasSources) return kind.target;
  // The only argument is a source: a transfer has both.
  if (argumentCount === 0 || hasMore) return kind.source;
  return lastKind(kind, word);
}

type Transfer = Exclude<ArgumentKind, ValueKind>;

function isTransfer(kind: ArgumentKind): kind is Transfer {
  return typeof kind === "object" && "source" in kind;
}

/**
 * Returns the kind of a word that can be a further source or the target. Only a path that begins
 * with a slash can be both.
 */
function lastKind({ source, target }: Transfer, word: string): ExpectedKind {
  if (word === "") return target;
  if (!word.startsWith("/")) return word.startsWith("ashlar:") ? "remote-path" : "local-path";
  return source === "remote-path" ? "either-path" : "remote-path";
}
