import type { CommandDefinition, OptionDefinition } from "./command.ts";
import { SHELLS } from "./completion/shells.ts";
import { parseCount, parseDurationMs, parseMasterCount, parsePort } from "./parse-values.ts";
import { HUMAN_ELSEWHERE } from "./shared-flags.ts";

const DIRECTORY: OptionDefinition = {
  flags: "--dir <directory>",
  description: "directory of the cluster (default: ASHLAR_CLUSTER, else .ashlar here)",
  valueKind: "local-directory",
};

/** Commands that show the state of a cluster and run a local cluster. */
export const CLUSTER_COMMANDS: readonly CommandDefinition[] = [
  {
    name: "status",
    summary: "show the masters, the chunkservers and the health of the cluster",
    options: [
      HUMAN_ELSEWHERE,
      { flags: "--watch", description: "repeat every 2 s until Ctrl-C; a terminal is redrawn" },
    ],
    examples: [
      ["ashlar status", "exit status 0 if the health is ok, 1 if degraded or critical"],
      ["ashlar status --json | jq -r .health.word", "for scripts"],
      ["ashlar status --watch --json", "one line for each change"],
    ],
    onClosedOutput: (options) => (options["watch"] === true ? "stop" : "continue"),
    load: () => import("./commands/status.ts"),
  },
  {
    name: "df",
    summary: "show the space of the cluster and of each chunkserver",
    options: [HUMAN_ELSEWHERE],
    examples: [["ashlar df -h", "used space and space for new files"]],
    onClosedOutput: "stop",
    load: () => import("./commands/df.ts"),
  },
  {
    name: "server remove",
    summary: "remove a chunkserver that is gone for ever",
    arguments: "<server>",
    argumentKinds: ["text"],
    options: [
      {
        flags: "-f, --force",
        description: "also a live one, and if chunks have only one copy elsewhere",
      },
      { flags: "-y, --yes", description: "do not ask" },
    ],
    examples: [
      [
        "ashlar server remove 4f1c09ab",
        "the beginning of its id or its address, as ashlar status shows them",
      ],
    ],
    onClosedOutput: "continue",
    load: () => import("./commands/server-remove.ts"),
  },
  {
    name: "server token",
    summary: "make, list and revoke the tokens with which new chunkservers join",
    arguments: "[action] [id...]",
    argumentKinds: [["create", "list", "revoke"], "text"],
    usage: "[options] [create|list|revoke ID...]",
    options: [
      {
        flags: "--valid <duration>",
        description: "create: time for which it is valid, at most 30d (default: 1h)",
        parse: (text) => parseDurationMs(text, "--valid"),
        valueKind: "text",
      },
      { flags: "--all", description: "revoke: all tokens" },
    ],
    examples: [
      ["ashlar server token", "start a chunkserver with it in ASHLAR_JOIN_TOKEN, once"],
      ["ashlar server token --valid 10m --json | jq -r .token", "for scripts"],
      ["ashlar server token list", "ids and times of expiry; with --quiet only the ids"],
      ["ashlar server token revoke 0a1b2c3d4e", "no chunkserver can enrol with it from now on"],
    ],
    onClosedOutput: "continue",
    load: () => import("./commands/server-token.ts"),
  },
  {
    name: "server enrolment",
    summary: "show whether chunkservers need a token to join, and change it",
    arguments: "[action]",
    argumentKinds: [["status", "open", "close"]],
    usage: "[options] [status|open|close]",
    options: [
      { flags: "-f, --force", description: "close: although live chunkservers have not enrolled" },
      {
        flags: "--rotate <version>",
        description:
          "close: rotate the key of intents also if it is closed; refused if its version is another one",
        parse: (text) => parseCount(text, "--rotate", 1),
      },
    ],
    examples: [
      ["ashlar server enrolment", "who has not enrolled, and the tokens"],
      [
        "ashlar server enrolment close",
        "after an upgrade; rotates the key of intents if it was open",
      ],
      ["ashlar server enrolment close --rotate 1", "the version that status shows; at most once"],
      ["ashlar server enrolment -q", '"open" or "closed", for scripts'],
    ],
    onClosedOutput: "continue",
    load: () => import("./commands/server-enrolment.ts"),
  },
  {
    name: "backup",
    summary: "save the state of the masters to a file while they serve",
    arguments: "<file>",
    argumentKinds: ["local-path"],
    options: [
      { flags: "--verify", description: "read and check a whole backup file; needs no cluster" },
      { flags: "-f, --force", description: "replace an existing file" },
    ],
    examples: [
      ["ashlar backup masters.backup", "all names and chunk records, at one index"],
      ["ashlar backup masters.backup --verify", "exit status 7 if the file is damaged"],
    ],
    onClosedOutput: "continue",
    load: () => import("./commands/backup.ts"),
  },
  {
    name: "cluster up",
    summary: "start a cluster on this machine and wait until it serves",
    options: [
      DIRECTORY,
      {
        flags: "--masters <count>",
        description: "number of masters of a new cluster: 1, 3 or 5 (default: 3)",
        parse: (text) => parseMasterCount(text, "--masters"),
        valueKind: "number",
      },
      {
        flags: "--chunkservers <count>",
        description: "number of chunkservers of a new cluster (default: 4)",
        parse: (text) => parseCount(text, "--chunkservers", 1),
        valueKind: "number",
      },
      {
        flags: "--base-port <port>",
        description: "first port, two per node; 0: any free ports",
        default: 7400,
        parse: (text) => parsePort(text, "--base-port"),
        valueKind: "number",
      },
      {
        flags: "--new-server",
        description: "start a chunkserver whose data directory was emptied as a new server",
      },
      { flags: "--foreground", description: "keep running; Ctrl-C stops the cluster" },
      {
        flags: "--wait <duration>",
        description: "fail after this time",
        default: 30_000,
        defaultText: "30s",
        parse: (text) => parseDurationMs(text, "--wait"),
        valueKind: "text",
      },
    ],
    examples: [
      [
        "ashlar cluster up --dir /tmp/c",
        "three masters and four chunkservers; the directory holds their state",
      ],
      ["ashlar cluster up --dir /tmp/c --masters 1 --chunkservers 1", "the smallest cluster"],
    ],
    onClosedOutput: "continue",
    load: () => import("./commands/cluster-up.ts"),
  },
  {
    name: "cluster add",
    summary: "add a node to a running cluster and wait until it serves",
    arguments: "<role>",
    argumentKinds: [["master", "chunkserver"]],
    usage: "[options] master|chunkserver",
    options: [
      DIRECTORY,
      {
        flags: "--base-port <port>",
        description: "first of its two ports; 0: any free ports",
        default: 0,
        parse: (text) => parsePort(text, "--base-port"),
        valueKind: "number",
      },
      {
        flags: "--wait <duration>",
        description: "fail after this time",
        default: 30_000,
        defaultText: "30s",
        parse: (text) => parseDurationMs(text, "--wait"),
        valueKind: "text",
      },
    ],
    examples: [["ashlar cluster add master", "one more master; `ashlar master status` shows it"]],
    onClosedOutput: "continue",
    load: () => import("./commands/cluster-add.ts"),
  },
  {
    name: "cluster down",
    summary: "stop a local cluster; its state is kept",
    options: [DIRECTORY],
    examples: [["ashlar cluster down --dir /tmp/c", "`cluster up` starts it again"]],
    onClosedOutput: "continue",
    load: () => import("./commands/cluster-down.ts"),
  },
  {
    name: "cluster status",
    summary: "show the processes of a local cluster; exit status 1 if one is down",
    options: [DIRECTORY],
    examples: [["ashlar cluster status --json", "one object per node: name, pid, addresses, log"]],
    onClosedOutput: "continue",
    load: () => import("./commands/cluster-status.ts"),
  },
  {
    name: "cluster kill",
    summary: "send a signal to one node",
    arguments: "<node>",
    argumentKinds: ["node"],
    options: [
      DIRECTORY,
      {
        flags: "--signal <signal>",
        description: "number or name of the signal",
        default: "9",
        valueKind: ["KILL", "TERM", "STOP", "CONT"],
      },
    ],
    examples: [
      ["ashlar cluster kill m1", "kill a master with SIGKILL"],
      ["ashlar cluster kill c2 --signal STOP", "suspend a chunkserver"],
      ["ashlar cluster kill 1a2b3c4d", "a chunkserver by its id in `ashlar status`"],
    ],
    onClosedOutput: "continue",
    load: () => import("./commands/cluster-kill.ts"),
  },
  {
    name: "cluster start",
    summary: "start one node and wait until it serves",
    arguments: "<node>",
    argumentKinds: ["node"],
    options: [
      DIRECTORY,
      {
        flags: "--new-server",
        description: "start a chunkserver whose data directory was emptied as a new server",
      },
      {
        flags: "--wait <duration>",
        description: "fail after this time; the node keeps running. 0: do not wait",
        default: 30_000,
        defaultText: "30s",
        parse: (text) => parseDurationMs(text, "--wait"),
        valueKind: "text",
      },
    ],
    examples: [["ashlar cluster start m1", "after `cluster kill m1`"]],
    onClosedOutput: "continue",
    load: () => import("./commands/cluster-start.ts"),
  },
  {
    name: "cluster logs",
    summary: "print the logs of nodes",
    arguments: "[node...]",
    argumentKinds: ["node"],
    options: [
      DIRECTORY,
      {
        flags: "-n, --lines <count>",
        description: "number of last lines of each log",
        default: 20,
        parse: (text) => parseCount(text, "--lines"),
        valueKind: "number",
      },
      { flags: "--follow", description: "print new lines as they are written" },
    ],
    examples: [["ashlar cluster logs c1 -n 100", "the last 100 lines of one log"]],
    idle: "no new line",
    onClosedOutput: "stop",
    load: () => import("./commands/cluster-logs.ts"),
  },
  {
    name: "cluster use",
    summary: "select the cluster of later commands by name",
    arguments: "<name> [where]",
    argumentKinds: ["cluster", "local-directory"],
    options: [{ flags: "-f, --force", description: "give an existing name to another cluster" }],
    examples: [
      ["ashlar cluster use prod 10.0.0.1:7400,10.0.0.2:7400", "give a name, and use it"],
      ["ashlar cluster use test /tmp/c", "a directory made by `cluster up`"],
      ["ashlar cluster use prod", "--cluster and ASHLAR_CLUSTER take precedence"],
    ],
    onClosedOutput: "continue",
    load: () => import("./commands/cluster-use.ts"),
  },
  {
    name: "cluster list",
    summary: "list the named clusters",
    examples: [["ashlar cluster list", "the one in use has a star"]],
    onClosedOutput: "stop",
    load: () => import("./commands/cluster-list.ts"),
  },
  {
    name: "cluster forget",
    summary: "remove the name of a cluster from the list; the cluster stays as it is",
    arguments: "<name>",
    argumentKinds: ["cluster"],
    examples: [["ashlar cluster forget test", "never touches the processes or their data"]],
    onClosedOutput: "continue",
    load: () => import("./commands/cluster-forget.ts"),
  },
  {
    name: "cluster finalize-upgrade",
    summary: "let the cluster use what all masters support; no way back to an older version",
    options: [{ flags: "-y, --yes", description: "do not ask" }],
    examples: [
      ["ashlar cluster finalize-upgrade", "after every master runs the new version, and runs well"],
    ],
    onClosedOutput: "continue",
    load: () => import("./commands/cluster-finalize-upgrade.ts"),
  },
  {
    name: "cluster reset-clock",
    summary: "set the time of new changes to the median of the masters' clocks",
    options: [{ flags: "-y, --yes", description: "do not ask" }],
    examples: [["ashlar cluster reset-clock", "after changes were stamped in the future"]],
    onClosedOutput: "continue",
    load: () => import("./commands/cluster-reset-clock.ts"),
  },
  {
    name: "completion",
    summary: "print the script that completes commands, flags and paths in a shell",
    arguments: "<shell>",
    argumentKinds: [SHELLS],
    examples: [
      [
        'eval "$(ashlar completion bash)"',
        "Tab then completes paths in the cluster, nodes and names of clusters; add the line to ~/.bashrc to keep it",
      ],
      ["ashlar completion fish | source", "for fish; zsh is supported, too"],
    ],
    onClosedOutput: "stop",
    load: () => import("./commands/completion.ts"),
  },
  {
    name: "version",
    summary: "print the version and the platform",
    examples: [["ashlar version --json", "for bug reports and scripts"]],
    onClosedOutput: "stop",
    load: () => import("./commands/version.ts"),
  },
  {
    name: "config show",
    summary: "print the settings of the CLI",
    options: [{ flags: "--origin", description: "print the origin of each value, too" }],
    examples: [
      ["ashlar config show --origin", "precedence: flags, environment, config file, defaults"],
    ],
    onClosedOutput: "stop",
    load: () => import("./commands/config-show.ts"),
  },
];
