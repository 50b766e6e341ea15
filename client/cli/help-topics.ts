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
  ashlar:/a         the side of \`sync\` that is in the cluster; the other is on this machine
  -                 standard input (put) or standard output (get)
  '/logs/*.gz'      a pattern, expanded in the cluster: * ? [a-z] [!a-z] {a,b}, and ** for any
                    depth; every other character is itself. Quote it, or the shell expands it on
                    this machine. No match is an error. A name that exists as it was typed
                    is taken literally. '/d/[*]' and --no-glob name a file with such a character.
  /a/b/             a directory; an error if it is a file
  /a/.              the entries of /a (cp, put, get)

A name can contain any bytes except "/" and NUL. Names are printed on one line: control characters
and bytes that are not UTF-8 appear as \\n, \\\\ and \\xHH. --json adds the base64 of such a name.`,
  },
  {
    name: "terms",
    text: `Words in tables and messages:

  INDEX         number of an entry in the log of the masters. Every change has one, in order;
                --at INDEX reads the state after that change
  TERM          number of an election of the masters. A higher term has a newer leader
  LAST, COMMITTED, APPLIED
                index of the last entry in the log of a master, of the last entry that a majority
                has stored, and of the last entry in its state
  MATCH, BEHIND last entry that a master shares with the leader, and entries that it lacks
  ROOT          content root: a hash over the content of a file. Equal content, equal root
                (\`ashlar checksum --root\` prints it)
  old versions  removed and replaced files and names that the history keeps, for \`restore\` and
                --at. They keep their space: for 24 h, or until \`ashlar history trim\`
  chunk         a part of a file of up to 64 MiB, stored by chunkservers. The masters store files of
                up to 4 KiB themselves, without a chunk
  live, suspect, dead, stopped
                chunkservers: sends heartbeats; is silent, gets no new chunks; is silent for longer,
                its chunks are copied elsewhere; was stopped in good order
  waiting       a new leader has no heartbeat of this chunkserver yet

Times with a Z at the end, and those under (UTC), are in UTC; those of \`ls -l\` are in local time.`,
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

  [clusters]
  prod = "10.0.0.1:7400,10.0.0.2:7400,10.0.0.3:7400"
  test = "/home/ada/test-cluster"

\`ashlar cluster use NAME\` selects one of the named clusters: it sets \`cluster\` to the name.
\`ashlar cluster list\` prints the names, \`ashlar cluster forget NAME\` removes one.
\`ashlar config show --origin\` prints the values in use and the origin of each.`,
  },
];
