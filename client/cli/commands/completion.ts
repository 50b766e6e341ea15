import { AshlarError } from "../../../shared/base/errors.ts";
import type { CommandDefinition, RunCommand } from "../command.ts";
import { GLOBAL_OPTIONS } from "../global-options.ts";
import { HELP_TOPICS } from "../help-topics.ts";
import { DAEMONS } from "../program.ts";

const SHELLS = ["bash", "zsh", "fish"] as const;

export const run: RunCommand = async (context, commandArguments) => {
  const [shell = ""] = commandArguments;
  await context.output.line(completionScript(shell, context.commands));
};

/**
 * Returns a script that completes commands and flags, made from the table of commands.
 *
 * @throws {AshlarError} INVALID_ARGUMENT for an unknown shell
 */
export function completionScript(shell: string, commands: readonly CommandDefinition[]): string {
  switch (shell) {
    case "bash":
      return bash(commands);
    case "zsh":
      // zsh runs bash completions with its bashcompinit.
      return `autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n${bash(commands)}`;
    case "fish":
      return fish(commands);
    default:
      throw new AshlarError(
        "INVALID_ARGUMENT",
        `Cannot print completion: expected one of ${SHELLS.join(", ")}: current value is "${shell}"`,
      );
  }
}

function flagsOf(definition: CommandDefinition): string[] {
  const options = [...(definition.options ?? []), ...GLOBAL_OPTIONS];
  return [...options.flatMap(({ flags }) => flags.match(/--[a-z-]+/g) ?? []), "--help"];
}

/** Returns the first words of all commands, and the second words of each group. */
function words(commands: readonly CommandDefinition[]): {
  readonly first: string[];
  readonly groups: Map<string, string[]>;
} {
  const first = new Set<string>(["help", ...Object.keys(DAEMONS)]);
  const groups = new Map<string, string[]>();
  for (const { name } of commands) {
    const [head = "", tail] = name.split(" ");
    first.add(head);
    if (tail !== undefined) groups.set(head, [...(groups.get(head) ?? []), tail]);
  }
  return { first: [...first], groups };
}

function bash(commands: readonly CommandDefinition[]): string {
  const { first, groups } = words(commands);
  const topics = HELP_TOPICS.map(({ name }) => name);
  const groupCases = [...groups, ["help", [...first, ...topics]] as const].map(
    ([group, tails]) => `      ${group}) choices="${tails.join(" ")}" ;;`,
  );
  const flagCases = commands.map(
    (each) => `      "${each.name}") choices="${flagsOf(each).join(" ")}" ;;`,
  );
  return `_ashlar() {
  local current="\${COMP_WORDS[COMP_CWORD]}" command="\${COMP_WORDS[1]}" choices=""
  case "$command" in ${[...groups.keys()].join("|")}) command="$command \${COMP_WORDS[2]}" ;; esac
  if [[ $COMP_CWORD -eq 1 ]]; then
    choices="${first.join(" ")}"
  elif [[ $current == -* ]]; then
    case "$command" in
${flagCases.join("\n")}
    esac
  elif [[ $COMP_CWORD -eq 2 ]]; then
    case "\${COMP_WORDS[1]}" in
${groupCases.join("\n")}
    esac
  fi
  COMPREPLY=($(compgen -W "$choices" -- "$current"))
}
complete -o default -F _ashlar ashlar`;
}

function fish(commands: readonly CommandDefinition[]): string {
  const { first, groups } = words(commands);
  const lines = [
    "complete -c ashlar -f -n __fish_use_subcommand",
    ...first.map((word) => `complete -c ashlar -n __fish_use_subcommand -a ${word}`),
  ];
  for (const [group, tails] of groups) {
    lines.push(
      `complete -c ashlar -f -n "__fish_seen_subcommand_from ${group}" -a "${tails.join(" ")}"`,
    );
  }
  const topics = HELP_TOPICS.map(({ name }) => name).join(" ");
  lines.push(`complete -c ashlar -f -n "__fish_seen_subcommand_from help" -a "${topics}"`);
  for (const definition of commands) {
    const [head = ""] = definition.name.split(" ");
    for (const flag of flagsOf(definition)) {
      lines.push(`complete -c ashlar -n "__fish_seen_subcommand_from ${head}" -l ${flag.slice(2)}`);
    }
  }
  return [...new Set(lines)].join("\n");
}
