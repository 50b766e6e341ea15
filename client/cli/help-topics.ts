/** Texts of `ashlar help TOPIC`. */
export const HELP_TOPICS: ReadonlyArray<{ readonly name: string; readonly text: string }> = [
  {
    name: "exit-codes",
    text: `Exit statuses (docs/exit-codes.md):

    0  success
    1  other failure; status: the cluster is degraded; put: the source changed
    2  wrong usage or configuration
    3  path not found
    4  permission denied
    5  temporary failure: no leader, unreachable, overloaded; a retry can succeed
    6  refused: already exists, not empty, failed precondition, no space
    7  integrity failure: a checksum differs, or no good replica is left
    8  some of several items failed; each failure was printed
    9  unknown outcome: the change may have been made
  124  --deadline exceeded
  130  interrupted (Ctrl-C)
  143  terminated (SIGTERM)`,
  },
  {
    name: "env",
    text: `Environment:

  ASHLAR_CLUSTER    the cluster: a directory made by \`ashlar cluster up\`, or HOST:PORT,…
  ASHLAR_TIMEOUT    timeout of one call to the cluster, such as 30s
  ASHLAR_DEADLINE   timeout of a whole command
  ASHLAR_COLOR      auto, always or never
  ASHLAR_PROGRESS   auto, always or never
  ASHLAR_CONFIG     the config file; default: $XDG_CONFIG_HOME/ashlar/config.toml
  With --color auto, NO_COLOR, FORCE_COLOR and TERM=dumb apply.

Flags take precedence over the environment, the environment over the config file.`,
  },
  {
    name: "paths",
    text: `Paths:

  /a/b              an absolute path in the cluster; ashlar:/a/b is the same path
  -                 standard input (put) or standard output (get)
  '/logs/*.gz'      a pattern, expanded in the cluster: * ? [a-z] [!a-z] {a,b}, and ** for any
                    depth; every other character is itself. Quote it, or the shell expands it on
                    this machine. No match is an error. Where a name exists as it was typed, it is
                    meant. '/d/[*]' and --no-glob name a file with such a character.
  /a/b/             a directory; an error if it is a file
  /a/.              the entries of /a (cp, put, get)

A name can contain any bytes except "/" and NUL. Names are printed on one line: control characters
and bytes that are not UTF-8 appear as \\n, \\\\ and \\xHH. --json adds the base64 of such a name.`,
  },
  {
    name: "config",
    text: `Config file: $ASHLAR_CONFIG, else $XDG_CONFIG_HOME/ashlar/config.toml, else
~/.config/ashlar/config.toml. TOML; every value is a string in quotes:

  cluster = "10.0.0.1:7400,10.0.0.2:7400,10.0.0.3:7400"
  timeout = "30s"
  deadline = "10m"
  color = "auto"
  progress = "never"

\`ashlar config show --origin\` prints the values in use and the origin of each.`,
  },
];
