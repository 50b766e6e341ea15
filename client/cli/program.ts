import { Command, CommanderError, Help, Option } from "commander";
import type { CommandDefinition, OptionDefinition, OptionValues } from "./command.ts";
import { COMMANDS } from "./command-table.ts";
import { EXIT_STATUS } from "./exit-status.ts";
import { parseDurationMs } from "./parse-values.ts";
import { type GlobalOptions, runCommand } from "./run-command.ts";
import { VERSION } from "./version.ts";

/** The commands as commander knows them. */
export interface Program {
  /** 0 until a command was run. */
  readonly exitStatus: number;
  readonly command: Command;
  parse(commandLine: readonly string[]): Promise<void>;
}

const GROUP_SUMMARIES: Readonly<Record<string, string>> = {
  cluster: "a cluster of real processes on this machine",
};

/** Builds the whole tree from the table. Nothing is loaded but the table and commander. */
export function buildProgram(): Program {
  let exitStatus: number = EXIT_STATUS.done;
  const root = new Command("ashlar")
    .description("A distributed file system. `ashlar help COMMAND` shows examples first.")
    .helpOption("--help", "show help")
    .version(`ashlar ${VERSION}`, "-V, --version", "print the version")
    .showSuggestionAfterError(true)
    .enablePositionalOptions(false)
    .configureHelp({ showGlobalOptions: true });
  addGlobalOptions(root);
  const onExit = (status: number): void => {
    exitStatus = status;
  };
  for (const definition of COMMANDS) addCommand(root, definition, onExit);
  quietExit(root);
  return {
    get exitStatus() {
      return exitStatus;
    },
    command: root,
    async parse(commandLine) {
      try {
        await root.parseAsync([...commandLine], { from: "user" });
      } catch (error) {
        if (!(error instanceof CommanderError)) throw error;
        // Help and version were asked for: 0. Everything else is wrong usage.
        exitStatus = error.exitCode === 0 ? EXIT_STATUS.done : EXIT_STATUS.usage;
      }
    },
  };
}

/** Commander throws instead of ending the process, here and in every subcommand. */
function quietExit(command: Command): void {
  command.exitOverride();
  for (const child of command.commands) quietExit(child);
}

function addGlobalOptions(command: Command): void {
  command
    .option(
      "--cluster <where>",
      "a directory made by `cluster up`, or HOST:PORT,… of masters (ASHLAR_CLUSTER)",
    )
    .option("--json", "print JSON: one object a line")
    .option("-q, --quiet", "print nothing but data and errors")
    .option("-v, --verbose", "say more; -vv says still more", (_, count: number) => count + 1, 0)
    .addOption(
      new Option("--color <when>", "colour")
        .choices(["auto", "always", "never"])
        .env("ASHLAR_COLOR"),
    )
    .addOption(
      new Option("--progress <when>", "progress bars")
        .choices(["auto", "always", "never"])
        .env("ASHLAR_PROGRESS"),
    )
    .addOption(
      new Option(
        "--timeout <duration>",
        "for one call to the cluster: 500ms, 30s, 2m (default 30s)",
      ).env("ASHLAR_TIMEOUT"),
    )
    .addOption(new Option("--deadline <duration>", "for the whole command").env("ASHLAR_DEADLINE"));
}

function addCommand(
  root: Command,
  definition: CommandDefinition,
  onExit: (status: number) => void,
): void {
  const words = definition.name.split(" ");
  const name = words.at(-1) as string;
  const parent = words.length === 1 ? root : groupOf(root, words[0] as string);
  const command = parent
    .command(name)
    .description(definition.summary)
    .helpOption("--help", "show help");
  if (definition.arguments !== undefined) command.arguments(definition.arguments);
  for (const option of definition.options ?? []) command.addOption(toOption(option));
  addGlobalOptions(command);
  command.configureHelp({ formatHelp: (shown, helper) => helpText(definition, shown, helper) });
  command.action(async () => {
    const { options, globals } = splitOptions(command);
    const commandArguments = command.args;
    onExit(await runCommand(definition, { commandArguments, options, globals }));
  });
}

function groupOf(root: Command, name: string): Command {
  const known = root.commands.find((command) => command.name() === name);
  if (known !== undefined) return known;
  return root
    .command(name)
    .description(GROUP_SUMMARIES[name] ?? "")
    .helpOption("--help", "show help");
}

function toOption(definition: OptionDefinition): Option {
  const option = new Option(definition.flags, definition.description);
  if (definition.default !== undefined) option.default(definition.default);
  if (definition.choices !== undefined) option.choices(definition.choices);
  if (definition.parse !== undefined) option.argParser(definition.parse);
  return option;
}

/** Global options may stand before or after the command's name. */
function splitOptions(command: Command): { options: OptionValues; globals: GlobalOptions } {
  const options = command.optsWithGlobals<Record<string, unknown>>();
  const globals: GlobalOptions = {
    ...(options["cluster"] === undefined ? {} : { cluster: String(options["cluster"]) }),
    json: options["json"] === true,
    quiet: options["quiet"] === true,
    verbose: verbosityOf(command),
    color: (options["color"] ?? "auto") as GlobalOptions["color"],
    progress: (options["progress"] ?? "auto") as GlobalOptions["progress"],
    timeoutMs: parseDurationMs(String(options["timeout"] ?? "30s"), "--timeout"),
    deadlineMs:
      options["deadline"] === undefined
        ? null
        : parseDurationMs(String(options["deadline"]), "--deadline"),
  };
  return { options, globals };
}

function verbosityOf(command: Command | null): number {
  if (command === null) return 0;
  return Number(command.opts()["verbose"] ?? 0) + verbosityOf(command.parent);
}

/** Two lines of synopsis, then the examples, then the flags. */
function helpText(definition: CommandDefinition, command: Command, helper: Help): string {
  const standard = Help.prototype.formatHelp.call(helper, command, helper).split("\n");
  const examples = definition.examples.flatMap(([line, what]) => [`  ${line}`, `      ${what}`]);
  const blank = standard.indexOf("", 2);
  return [
    ...standard.slice(0, blank + 1),
    "Examples:",
    ...examples,
    "",
    ...standard.slice(blank + 1),
  ].join("\n");
}
