import { unreachable } from "../../../shared/base/assert.ts";
import type { RunCommand } from "../command.ts";
import type { Shell } from "../completion/shells.ts";

export const run: RunCommand = async (context, commandArguments) => {
  await context.output.line(completionScript(commandArguments[0] as Shell));
};

/**
 * Returns the completion script of a shell. The script passes the line to `ashlar __complete`. The first
 * record of the reply (`ReplyKind`) selects its action.
 */
export function completionScript(shell: Shell): string {
  switch (shell) {
    case "bash":
      return BASH;
    case "zsh":
      return ZSH;
    case "fish":
      return FISH;
    default:
      return unreachable(shell);
  }
}

// `-o default` is the completion of files. compopt is missing in bash 3, which macOS has.
const BASH = `_ashlar() {
  local kind="" reply
  COMPREPLY=()
  {
    IFS= read -r -d '' kind
    while IFS= read -r -d '' reply; do COMPREPLY+=("$reply"); done
  } < <(ashlar __complete bash "\${COMP_LINE:0:COMP_POINT}" "\${COMP_LINE:COMP_POINT}" "$2" 2>/dev/null </dev/null)
  case "$kind" in
    files) ;;
    directories) compopt +o default -o dirnames ;;
    partial) compopt +o default -o nospace ;;
    list) compopt +o default -o filenames -o noquote ;;
    *) compopt +o default ;;
  esac 2>/dev/null
}
complete -o default -F _ashlar ashlar`;

// -U and -Q: the candidates are whole words in the notation of zsh. Only their last names are shown.
const ZSH = `(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
_ashlar() {
  local before after kind
  local -a replies shown
  after="$SUFFIX$QISUFFIX \${(j: :)words[CURRENT+1,-1]}"
  before="\${(j: :)words[1,CURRENT-1]} \${words[CURRENT]%"$SUFFIX$QISUFFIX"}"
  replies=("\${(@0)$(ashlar __complete zsh "$before" "$after" "$QIPREFIX" 2>/dev/null </dev/null)}")
  kind="$replies[1]"
  replies=("\${(@)replies[2,-2]}")
  [[ $kind == (files|directories) && $PREFIX == --*=* ]] && compset -P '*='
  case "$kind" in
    files) _files ;;
    directories) _files -/ ;;
    whole) compset -S '*'; compadd -Q -U -I "$ISUFFIX" -- "\${(@)replies}" ;;
    partial) compset -S '*'; compadd -Q -U -I "$ISUFFIX" -S '' -- "\${(@)replies}" ;;
    list)
      compset -S '*'
      shown=("\${(@)replies%/}")
      shown=("\${(@)shown##*/}")
      compadd -Q -U -I "$ISUFFIX" -S '' -d shown -- "\${(@)replies}" ;;
    *) return 1 ;;
  esac
}
compdef _ashlar ashlar`;

// fish quotes the candidates, and adds no space after a slash.
const FISH = `function __ashlar_complete
    set -l before (commandline -cp | string collect)
    set -l after (string sub -s (math (string length -- $before) + 1) -- (commandline -p | string collect))
    set -l replies (ashlar __complete fish "$before" "$after" 2>/dev/null </dev/null | string split0)
    switch "$replies[1]"
        case files
            __fish_complete_path (commandline -ct)
        case directories
            __fish_complete_directories (commandline -ct) ''
        case '*'
            string join0 -- $replies[2..] | string split0
    end
end
complete -c ashlar -f -a '(__ashlar_complete)'`;
