import { Command, CommanderError, Help, Option, type OutputConfiguration } from "commander";
import { AshlarError } from "../../shared/base/errors.ts";
import { SETTING_KEYS } from "../../shared/platform/user-config.ts";
import type { CliEnv } from "./cli-env.ts";
import type { CommandDefinition, OptionDefinition, OptionValues } from "./command.ts";
import { COMMAND_NOTES } from "./command-notes.ts";
import { DAEMONS } from "./daemons.ts";
import { EXIT_STATUS } from "./exit-status.ts";
import { GLOBAL_OPTIONS, type GlobalOptions } from "./global-options.ts";
import { HELP_TOPICS } from "./help-topics.ts";
import { hintForOtherName } from "./other-names.ts";
import { reportError } from "./report-error.ts";
import { VERSION } from "./version.ts";

/** A parsed command line. */
export interface Invocation {
  readonly commandArguments: readonly string[];
  readonly options: OptionValues;
  readonly globals: GlobalOptions;
}

/** Dependencies of `runProgram`. */
export interface ProgramDeps {
  readonly env: CliEnv;
  readonly commands: readonly CommandDefinition[];
  /** Runs a command. @returns the exit status */
  readonly run: (definition: CommandDefinition, invocation: Invocation) => Promise<number>;
}

/** Width of the help where it is not printed on a terminal. */
const HELP_COLUMNS = 80;
/** Columns before a note. Its further lines have two more. */
const NOTE_INDENT = 2;

/** Summaries of the command groups, for --help. */
const GROUP_SUMMARIES: Readonly<Record<string, string>> = {
  cluster: "run a cluster of real processes on this machine",
  config: "show the settings of the CLI",
  master: "show and change the masters of a cluster; with flags only: run a master",
};

/**
 * Parses a command line and runs its command. Only the table of commands and commander are loaded
 * before the command runs.
 *
 * @returns the exit status; wrong usage has already been reported
 * @throws {AshlarError} INVALID_ARGUMENT for the value of an option
 */
export async function runProgram(
  commandLine: readonly string[],
  deps: ProgramDeps,
): Promise<number> {
  let exitStatus: number = EXIT_STATUS.done;
  const commands = commandsFor(commandLine, deps.commands);
  const root = buildTree({ ...deps, commands }, async (definition, invocation) => {
    exitStatus = await deps.run(definition, invocation);
  });
  const isJson = commandLine.includes("--json");
  for (const command of commandsOf(root)) {
    command.exitOverride(); // Commander throws instead of exiting.
    command.configureOutput({
      ...outputOf(deps.env),
      outputError: (text) => reportUsage(deps.env, text, { command, isJson }),
    });
  }
  try {
    await root.parseAsync([...commandLine], { from: "user" });
    return exitStatus;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Commander throws with 0 for --help and --version. Everything else is wrong usage.
    return error.exitCode === 0 ? EXIT_STATUS.done : EXIT_STATUS.usage;
  }
}

/**
 * Returns the commands that a command line can name. If its first word is a command or a group, the
 * others are left out: commander takes 6 ms to set up all of them.
 */
function commandsFor(
  [first = ""]: readonly string[],
  commands: readonly CommandDefinition[],
): readonly CommandDefinition[] {
  const named = commands.filter(({ name }) => name.split(" ", 1)[0] === first);
  return named.length === 0 ? commands : named;
}

type Execute = (definition: CommandDefinition, invocation: Invocation) => Promise<void>;

/** Returns the output of commander. */
function outputOf({ stdout, stderr }: CliEnv): OutputConfiguration {
  return {
    writeOut: (text) => stdout.write(text),
    writeErr: (text) => stderr.write(text),
    getOutHelpWidth: () => stdout.columns ?? HELP_COLUMNS,
    getErrHelpWidth: () => stderr.columns ?? HELP_COLUMNS,
  };
}

function buildTree({ env, commands }: ProgramDeps, execute: Execute): Command {
  const root = new Command("ashlar")
    .description("A distributed file system. `ashlar help COMMAND` shows examples first.")
    .helpOption("--help", "show help")
    .helpCommand(false)
    // An option after the name of a command belongs to the command, which knows the values of its
    // own options: in `find / -name -q`, -q is a pattern. Commands inherit this.
    .enablePositionalOptions()
    .version(`ashlar ${VERSION}`, "-V, --version", "print the version")
    .addHelpText("after", daemonsHelp);
  addOptions(root, GLOBAL_OPTIONS);
  for (const definition of commands) addCommand(root, definition, execute);
  addHelpCommand(root, env);
  return root;
}

function addCommand(root: Command, definition: CommandDefinition, execute: Execute): void {
  const words = definition.name.split(" ");
  const parent = words.length === 1 ? root : groupOf(root, words[0] as string);
  const command = parent
    .command(words.at(-1) as string)
    .description(definition.summary)
    .helpOption("--help", "show help")
    .configureHelp({
      formatHelp: (described, helper) => withExamples(definition, described, helper),
    });
  if (definition.arguments !== undefined) command.arguments(definition.arguments);
  if (definition.usage !== undefined) command.usage(definition.usage);
  addOptions(command, definition.options ?? []);
  addOptions(command, GLOBAL_OPTIONS);
  const { rewrite, options = [] } = definition;
  if (rewrite !== undefined) {
    command.parseOptions = (words) =>
      Command.prototype.parseOptions.call(command, rewrite(words, options));
  }
  command.action(() =>
    execute(definition, {
      commandArguments: command.args,
      options: command.opts<Record<string, unknown>>(),
      globals: globalsOf(command),
    }),
  );
}

function groupOf(root: Command, name: string): Command {
  const known = root.commands.find((command) => command.name() === name);
  if (known !== undefined) return known;
  const group = root
    .command(name)
    .description(GROUP_SUMMARIES[name] ?? "")
    .helpOption("--help", "show help")
    .helpCommand(false);
  addHiddenGlobals(group);
  return group;
}

/** Adds the global options to a command whose help does not list them. */
function addHiddenGlobals(command: Command): void {
  addOptions(command, GLOBAL_OPTIONS);
  for (const option of command.options) option.hideHelp();
}

function addOptions(command: Command, definitions: readonly OptionDefinition[]): void {
  for (const definition of definitions) {
    const option = new Option(definition.flags, definition.description);
    if (definition.default !== undefined) {
      option.default(definition.default, definition.defaultText);
    }
    if (definition.choices !== undefined) option.choices(definition.choices);
    if (definition.parse !== undefined) option.argParser(definition.parse);
    if (definition.isRepeated === true) option.argParser(appendTo(definition));
    if (definition.isCounted === true) {
      option.argParser((_, count: unknown) => Number(count ?? 0) + 1);
    }
    command.addOption(option);
  }
}

/** Returns a parser for commander that adds each value to an array. */
function appendTo({ parse = (text) => text }: OptionDefinition) {
  return (text: string, values: readonly unknown[] = []): unknown[] => [...values, parse(text)];
}

/**
 * Returns the values of the options that every command takes. An option may be given before or
 * after the name of the command or its group. The later value takes precedence; -v is counted over both.
 */
function globalsOf(command: Command): GlobalOptions {
  const optionSets: Array<Readonly<Record<string, unknown>>> = [];
  for (let level: Command | null = command; level !== null; level = level.parent) {
    optionSets.push(level.opts());
  }
  const first = (key: string): unknown =>
    optionSets.map((values) => values[key]).find((value) => value !== undefined);
  const flags: Partial<Record<(typeof SETTING_KEYS)[number], string>> = {};
  for (const key of SETTING_KEYS) {
    const value = first(key);
    if (value !== undefined) flags[key] = String(value);
  }
  return {
    json: first("json") === true,
    quiet: first("quiet") === true,
    verbose: optionSets.reduce((sum, values) => sum + Number(values["verbose"] ?? 0), 0),
    flags,
  };
}

/** Adds `ashlar help ls`, `ashlar help cluster up`, `ashlar help exit-codes`. */
function addHelpCommand(root: Command, env: CliEnv): void {
  const help = root
    .command("help")
    .argument("[topic...]")
    .description("show help for a command or a topic")
    .helpOption("--help", "show help");
  addHiddenGlobals(help);
  help.action((words: readonly string[]) => showHelp(root, env, words));
}

function showHelp(root: Command, env: CliEnv, words: readonly string[]): void {
  let command = root;
  for (const [position, word] of words.entries()) {
    const below = command.commands.find((each) => each.name() === word);
    if (below === undefined) {
      if (position > 0 || words.length > 1) throw noHelp(words.join(" "));
      env.stdout.write(topicText(word));
      return;
    }
    command = below;
  }
  command.outputHelp();
}

function topicText(name: string): string {
  // Reached only with options before `help`: the launcher runs the daemon.
  if (Object.hasOwn(DAEMONS, name)) return `Run: ashlar ${name} --help\n`;
  const topic = HELP_TOPICS.find((each) => each.name === name);
  if (topic === undefined) throw noHelp(name);
  return `${topic.text}\n`;
}

function noHelp(name: string): AshlarError {
  const topics = HELP_TOPICS.map((topic) => topic.name).join(", ");
  return new AshlarError("INVALID_ARGUMENT", `Cannot find help for "${name}"`, {
    hint: `ashlar --help lists the commands; the topics are ${topics}`,
  });
}

function daemonsHelp(): string {
  const daemons = Object.entries(DAEMONS).map(([name, what]) => `  ${name.padEnd(38)} ${what}`);
  const topics = HELP_TOPICS.map((topic) => topic.name).join(", ");
  return `\nDaemons:\n${daemons.join("\n")}\n\nTopics: ashlar help ${topics}`;
}

/** Reports wrong usage: the text of commander in the form of every other error. */
function reportUsage(
  env: CliEnv,
  text: string,
  { command, isJson }: { readonly command: Command; readonly isJson: boolean },
): void {
  const [first = "", ...rest] = text.trim().split("\n");
  const problem = first.replace(/^error: /, "");
  const other = command.parent === null ? hintForOtherName(problem) : null;
  // The hint for a name of another tool is better than a name of similar letters.
  const message = other === null ? [problem, ...rest].join(" ") : problem;
  const names: string[] = [];
  for (let level: Command | null = command; level !== null; level = level.parent) {
    names.unshift(level.name());
  }
  const error = new AshlarError(
    "INVALID_ARGUMENT",
    `${message.charAt(0).toUpperCase()}${message.slice(1)}`,
    { hint: other ?? `${names.join(" ")} --help` },
  );
  reportError(env, error, { json: isJson });
}

/** Yields a command and all commands below it. */
function* commandsOf(command: Command): Generator<Command> {
  yield command;
  for (const child of command.commands) yield* commandsOf(child);
}

/** Returns the help of a command: two lines of synopsis, the examples, the flags. */
function withExamples(definition: CommandDefinition, command: Command, helper: Help): string {
  const standard = Help.prototype.formatHelp.call(helper, command, helper).split("\n");
  const examples = definition.examples.flatMap(([line, what]) => [`  ${line}`, `      ${what}`]);
  const blank = standard.indexOf("", 2);
  return [
    ...standard.slice(0, blank + 1),
    "Examples:",
    ...examples,
    "",
    ...standard.slice(blank + 1),
    ...notesOf(definition, helper),
  ].join("\n");
}

function notesOf({ name }: CommandDefinition, helper: Help): string[] {
  const notes = COMMAND_NOTES[name];
  if (notes === undefined) return [];
  const width = (helper.helpWidth ?? HELP_COLUMNS) - 2 * NOTE_INDENT;
  const indent = " ".repeat(NOTE_INDENT);
  const lines = notes.map((note) => helper.boxWrap(note, width).replaceAll("\n", `\n  ${indent}`));
  return ["Notes:", ...lines.map((line) => `${indent}${line}`), ""];
}
