/** Pages of `ashlar help TOPIC`. */
export const HELP_TOPICS: ReadonlyArray<{ readonly name: string; readonly text: string }> = [
  {
    name: "exit-codes",
    text: `Exit statuses (docs/exit-codes.md):

    0  done
    1  not otherwise classified; status: not all is well; put: the source changed
    2  usage or configuration
    3  path not found
    4  not permitted
    5  temporary: no leader, unreachable, overloaded; a repeat may work
    6  refused by the state: exists, not empty, a precondition, no space
    7  integrity: a checksum differs, no good replica
    8  some of several items failed; each was printed
    9  outcome unknown: the change may have happened
  124  --deadline passed
  130  interrupted (Ctrl-C)
  143  terminated (SIGTERM)`,
  },
  {
    name: "env",
    text: `Environment:

  ASHLAR_CLUSTER    which cluster: a directory made by \`ashlar cluster up\`, or HOST:PORT,…
  ASHLAR_TIMEOUT    for one call to the cluster, such as 30s
  ASHLAR_DEADLINE   for a whole command
  ASHLAR_COLOR      auto, always or never
  ASHLAR_PROGRESS   auto, always or never
  ASHLAR_CONFIG     the config file; default: $XDG_CONFIG_HOME/ashlar/config.toml
  NO_COLOR, FORCE_COLOR, TERM=dumb are respected where --color is auto

Flags win over the environment, the environment over the config file.`,
  },
  {
    name: "paths",
    text: `Paths:

  /a/b              a path in the cluster: absolute, always. ashlar:/a/b says the same.
  -                 standard input (put) or output (get).
  '/logs/*.gz'      patterns are expanded in the cluster: * ? [a-z] {a,b} and ** for any depth.
                    Quote them, or the shell expands them on this machine. No match is an error.
                    A name that stands there as it is written is taken; --no-glob takes no other.

A name may hold any bytes but "/" and NUL. One that is not plain text is shown with \\n, \\\\ and
\\xHH, on one line; --json has its bytes in base64 beside it.`,
  },
  {
    name: "config",
    text: `Config file: $ASHLAR_CONFIG, else $XDG_CONFIG_HOME/ashlar/config.toml, else
~/.config/ashlar/config.toml. TOML, every value in quotes:

  cluster = "10.0.0.1:7000,10.0.0.2:7000,10.0.0.3:7000"
  timeout = "30s"
  deadline = "10m"
  color = "auto"
  progress = "never"

\`ashlar config show --origin\` prints what is used and where it came from.`,
  },
];
