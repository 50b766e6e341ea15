import { AshlarError } from "../../../shared/base/errors.ts";
import type { CommandDefinition, RunCommand } from "../command.ts";
import { COMMANDS } from "../command-table.ts";

const SHELLS = ["bash", "zsh", "fish"] as const;

export const run: RunCommand = async (context, commandArguments) => {
  const [shell = ""] = commandArguments;
  await context.output.line(completionScript(shell));
};

/** Completion of commands and flags, from the table of commands. @throws {AshlarError} INVALID_ARGUMENT */
export function completionScript(shell: string): string {
  switch (shell) {
    case "bash":
      return bash();
    case "zsh":
      // zsh reads bash completions through its own bashcompinit.
      return `autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n${bash()}`;
    case "fish":
      return fish();
    default:
      throw new AshlarError(
        "INVALID_ARGUMENT",
        `Cannot print completion for "${shell}": expected ${SHELLS.join(", ")}`,
      );
  }
}

const GLOBAL_FLAGS = [
  "--cluster",
  "--json",
  "--quiet",
  "--verbose",
  "--color",
  "--progress",
  "--timeout",
  "--deadline",
  "--help",
];

function flagsOf(definition: CommandDefinition): string[] {
  const own = (definition.options ?? []).flatMap(
    (option) => option.flags.match(/--[a-z-]+/g) ?? [],
  );
  return [...own, ...GLOBAL_FLAGS];
}

/** First words, and the second words of groups. */
function words(): { readonly first: string[]; readonly groups: Map<string, string[]> } {
  const first = new Set<string>(["help"]);
  const groups = new Map<string, string[]>();
  for (const { name } of COMMANDS) {
    const [head = "", tail] = name.split(" ");
    first.add(head);
    if (tail !== undefined) groups.set(head, [...(groups.get(head) ?? []), tail]);
  }
  return { first: [...first], groups };
}

function bash(): string {
  const { first, groups } = words();
  const groupCases = [...groups].map(
    ([group, tails]) => `      ${group}) choices="${tails.join(" ")}" ;;`,
  );
  const flagCases = COMMANDS.map(
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
  [[ \${#COMPREPLY[@]} -gt 0 || $current == -* ]] || COMPREPLY=($(compgen -f -- "$current"))
}
complete -F _ashlar ashlar`;
}

function fish(): string {
  const { first, groups } = words();
  const lines = [
    "complete -c ashlar -f -n __fish_use_subcommand",
    ...first.map((word) => `complete -c ashlar -n __fish_use_subcommand -a ${word}`),
  ];
  for (const [group, tails] of groups) {
    lines.push(
      `complete -c ashlar -f -n "__fish_seen_subcommand_from ${group}" -a "${tails.join(" ")}"`,
    );
  }
  for (const definition of COMMANDS) {
    const [head = ""] = definition.name.split(" ");
    for (const flag of flagsOf(definition)) {
      lines.push(`complete -c ashlar -n "__fish_seen_subcommand_from ${head}" -l ${flag.slice(2)}`);
    }
  }
  return [...new Set(lines)].join("\n");
}
