import type { CommandDefinition, OptionDefinition } from "./command.ts";
import { parseCount, parseDurationMs } from "./parse-values.ts";

const DIRECTORY: OptionDefinition = {
  flags: "--dir <directory>",
  description: "where the cluster lives (default: ASHLAR_CLUSTER, else .ashlar here)",
};
const HUMAN: OptionDefinition = {
  flags: "-h, --human-readable",
  description: "sizes as 1.5 GiB (powers of 1024)",
};

/** Commands that look at a cluster and run one. */
export const CLUSTER_COMMANDS: readonly CommandDefinition[] = [
  {
    name: "status",
    summary: "masters, chunkservers, and the health of the whole in one word",
    options: [HUMAN],
    examples: [
      ["ashlar status", "for people; exit status 0 ok, 1 degraded or critical"],
      ["ashlar status --json | jq -r .health.word", "for scripts"],
    ],
    load: () => import("./commands/status.ts"),
  },
  {
    name: "df",
    summary: "space of the cluster and of each chunkserver",
    options: [HUMAN],
    examples: [["ashlar df -h", "what is used and what new files may still take"]],
    load: () => import("./commands/df.ts"),
  },
  {
    name: "backup",
    summary: "save the state of the masters to a file, while they serve",
    arguments: "<file>",
    options: [
      { flags: "--verify", description: "read the file and check all of it; asks no cluster" },
      { flags: "--force", description: "replace a file that is there" },
    ],
    examples: [
      ["ashlar backup masters.backup", "all names, and what is known of every chunk, at one index"],
      ["ashlar backup masters.backup --verify", "exit status 7 if it is damaged"],
    ],
    load: () => import("./commands/backup.ts"),
  },
  {
    name: "cluster up",
    summary: "start a cluster on this machine and wait until it serves",
    options: [
      DIRECTORY,
      {
        flags: "--masters <count>",
        description: "for a new cluster: 1, 3 or 5",
        default: 3,
        parse: (text) => parseCount(text, "--masters", 1),
      },
      {
        flags: "--chunkservers <count>",
        description: "for a new cluster",
        default: 4,
        parse: (text) => parseCount(text, "--chunkservers", 1),
      },
      {
        flags: "--base-port <port>",
        description: "first of two ports a node; 0: any that are free",
        default: 7400,
        parse: (text) => parseCount(text, "--base-port"),
      },
      { flags: "--foreground", description: "stay, and stop the cluster at Ctrl-C" },
      {
        flags: "--wait <duration>",
        description: "give up after this",
        default: 30_000,
        parse: (text) => parseDurationMs(text, "--wait"),
      },
    ],
    examples: [
      [
        "ashlar cluster up --dir /tmp/c",
        "three masters, four chunkservers; the state stays in the directory",
      ],
      ["ashlar cluster up --dir /tmp/c --masters 1 --chunkservers 1", "the smallest one"],
    ],
    load: () => import("./commands/cluster-up.ts"),
  },
  {
    name: "cluster add",
    summary: "add a node to a cluster that runs, and wait until it counts",
    arguments: "<role>",
    usage: "[options] master|chunkserver",
    options: [
      DIRECTORY,
      {
        flags: "--base-port <port>",
        description: "first of its two ports; 0: any that are free",
        default: 0,
        parse: (text) => parseCount(text, "--base-port"),
      },
      {
        flags: "--wait <duration>",
        description: "give up after this",
        default: 30_000,
        parse: (text) => parseDurationMs(text, "--wait"),
      },
    ],
    examples: [["ashlar cluster add master", "one more: `ashlar master status` shows it"]],
    load: () => import("./commands/cluster-add.ts"),
  },
  {
    name: "cluster down",
    summary: "stop it; its state stays",
    options: [DIRECTORY],
    examples: [["ashlar cluster down --dir /tmp/c", "`cluster up` starts it again"]],
    load: () => import("./commands/cluster-down.ts"),
  },
  {
    name: "cluster status",
    summary: "which of its processes run",
    options: [DIRECTORY],
    examples: [["ashlar cluster status --json", "one object a node: name, pid, addresses, log"]],
    load: () => import("./commands/cluster-status.ts"),
  },
  {
    name: "cluster kill",
    summary: "send a signal to one node",
    arguments: "<node>",
    options: [
      DIRECTORY,
      { flags: "--signal <signal>", description: "number or name", default: "9" },
    ],
    examples: [
      ["ashlar cluster kill m1", "kill -9 of a master"],
      ["ashlar cluster kill c2 --signal STOP", "freeze a chunkserver"],
    ],
    load: () => import("./commands/cluster-kill.ts"),
  },
  {
    name: "cluster start",
    summary: "start one node",
    arguments: "<node>",
    options: [DIRECTORY],
    examples: [["ashlar cluster start m1", "after `cluster kill m1`"]],
    load: () => import("./commands/cluster-start.ts"),
  },
  {
    name: "cluster logs",
    summary: "print the logs of nodes",
    arguments: "[node...]",
    options: [
      DIRECTORY,
      {
        flags: "-n, --lines <count>",
        description: "the last so many of each",
        default: 20,
        parse: (text) => parseCount(text, "--lines"),
      },
      { flags: "--follow", description: "go on printing what is added" },
    ],
    examples: [["ashlar cluster logs c1 -n 100", "the end of one log"]],
    load: () => import("./commands/cluster-logs.ts"),
  },
  {
    name: "completion",
    summary: "print completion for a shell",
    arguments: "<shell>",
    examples: [
      ['eval "$(ashlar completion bash)"', "for this shell; put it into ~/.bashrc to keep it"],
      ["ashlar completion fish | source", "fish; and zsh likewise"],
    ],
    load: () => import("./commands/completion.ts"),
  },
  {
    name: "version",
    summary: "print the version, and what it runs on",
    examples: [["ashlar version --json", "for bug reports and scripts"]],
    load: () => import("./commands/version.ts"),
  },
  {
    name: "config show",
    summary: "print the settings of this CLI",
    options: [{ flags: "--origin", description: "and where each came from" }],
    examples: [["ashlar config show --origin", "flags > environment > config file > defaults"]],
    load: () => import("./commands/config-show.ts"),
  },
];
