import type { OptionDefinition } from "./command.ts";

/*
 * Notations of other tools that commander does not parse. Each function returns the arguments in the
 * notation of commander. Values of options and everything after `--` stay as they are.
 */

/** Rewrites `-name` to `--name` for the long options of the command, as find(1) has them. */
export function withDoubleDashes(
  commandArguments: readonly string[],
  options: readonly OptionDefinition[],
): string[] {
  const takesValue = new Map(
    options.flatMap(({ flags }) =>
      (flags.match(/--[a-z0-9-]+/g) ?? []).map((flag) => [flag, flags.includes("<")] as const),
    ),
  );
  return rewritten(commandArguments, (argument) => {
    const flag = argument.startsWith("--") ? argument : `-${argument}`;
    const isKnown = argument.startsWith("-") && takesValue.has(flag);
    return {
      words: isKnown ? [flag] : [argument],
      takesValue: isKnown && takesValue.get(flag) === true,
    };
  });
}

const COUNT_FLAGS: readonly string[] = ["-n", "-c", "--lines", "--bytes"];

/** Rewrites `-20` to `-n 20`, as head(1) and tail(1) take it. */
export function withLineCounts(commandArguments: readonly string[]): string[] {
  return rewritten(commandArguments, (argument) => ({
    words: /^-\d+$/.test(argument) ? ["-n", argument.slice(1)] : [argument],
    takesValue: COUNT_FLAGS.includes(argument),
  }));
}

interface Rewritten {
  readonly words: readonly string[];
  /** The next argument is the value of this option. */
  readonly takesValue: boolean;
}

function rewritten(
  commandArguments: readonly string[],
  rewrite: (argument: string) => Rewritten,
): string[] {
  const words: string[] = [];
  let isValue = false;
  for (const [position, argument] of commandArguments.entries()) {
    if (!isValue && argument === "--") return [...words, ...commandArguments.slice(position)];
    const next: Rewritten = isValue ? { words: [argument], takesValue: false } : rewrite(argument);
    words.push(...next.words);
    isValue = next.takesValue;
  }
  return words;
}
