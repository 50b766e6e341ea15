import type { CommandDefinition } from "./command.ts";
import { withDoubleDashes } from "./habit-arguments.ts";
import { parseCount, parseCursor } from "./parse-values.ts";
import { AT, READ_MODE } from "./read-flags.ts";
import { HUMAN, HUMAN_ELSEWHERE, NO_GLOB } from "./shared-flags.ts";

/** Commands that show names and attributes, and change nothing. */
export const LISTING_COMMANDS: readonly CommandDefinition[] = [
  {
    name: "ls",
    summary: "list files and directories",
    arguments: "[path...]",
    argumentKinds: ["remote-path"],
    options: [
      { flags: "-l, --long", description: "print mode, copies, owner, group, size, time" },
      HUMAN,
      { flags: "-R, --recursive", description: "list subdirectories, too" },
      { flags: "-d, --directory", description: "list directories themselves, not their entries" },
      { flags: "-1, --one", description: "one name per line (always on)" },
      { flags: "-a, --all", description: "names that begin with a dot, too (always on)" },
      { flags: "-t, --sort-time", description: "sort by time, newest first" },
      { flags: "-S, --sort-size", description: "sort by size, largest first" },
      { flags: "--reverse", description: "reverse the order" },
      {
        flags: "-0, --null",
        description: "print whole paths as they are, each ended by NUL, for xargs -0",
      },
      {
        flags: "--limit <count>",
        description: "maximum number of entries per directory",
        parse: (text) => parseCount(text, "--limit", 1),
        valueKind: "number",
      },
      AT,
      READ_MODE,
      NO_GLOB,
    ],
    examples: [
      ["ashlar ls -l -h /photos", "with sizes and times"],
      ["ashlar ls --at 2h /photos", "the state of two hours ago"],
      ["ashlar ls --json -R / | jq -r .path", "every path, for a script"],
    ],
    onClosedOutput: "stop",
    load: () => import("./commands/ls.ts"),
  },
  {
    name: "stat",
    summary: "show the attributes of paths",
    arguments: "<path...>",
    argumentKinds: ["remote-path"],
    options: [
      {
        flags: "--format <format>",
        description:
          "%n name %F kind %b bytes %a mode %u uid %g gid %y time %r copies %i inode %% %",
        valueKind: "text",
      },
      AT,
      READ_MODE,
      NO_GLOB,
    ],
    examples: [
      ["ashlar stat /photos/a.jpg", "kind, size, owner, times, copies, content root"],
      ["ashlar stat --format '%b %n' '/photos/*'", "sizes and names"],
    ],
    onClosedOutput: "stop",
    load: () => import("./commands/stat.ts"),
  },
  {
    name: "find",
    summary: "print the paths below directories that pass all tests",
    arguments: "[path...]",
    argumentKinds: ["remote-path"],
    usage: "[path...] [tests] [options]",
    options: [
      {
        flags: "--name <pattern>",
        description: "the last name matches",
        isRepeated: true,
        valueKind: "text",
      },
      {
        flags: "--iname <pattern>",
        description: "the last name matches in upper or lower case",
        isRepeated: true,
        valueKind: "text",
      },
      {
        flags: "--size <size>",
        description:
          "files with +N (more), -N (less) or N units, rounded up: c (bytes), k, M, G; without a unit blocks of 512 bytes",
        isRepeated: true,
        valueKind: "text",
      },
      {
        flags: "--mtime <days>",
        description: "changed more than (+N), less than (-N) or N days ago; fractions are ignored",
        isRepeated: true,
        valueKind: "number",
      },
      {
        flags: "--newer <path>",
        description: "changed later than PATH was",
        isRepeated: true,
        valueKind: "remote-path",
      },
      {
        flags: "--type <types>",
        description: "f: files, d: directories",
        isRepeated: true,
        valueKind: ["f", "d", "f,d"],
      },
      {
        flags: "--maxdepth <count>",
        description: "go down to this level; 0: the arguments alone",
        parse: (text) => parseCount(text, "--maxdepth"),
        valueKind: "number",
      },
      {
        flags: "--mindepth <count>",
        description: "print from this level on",
        parse: (text) => parseCount(text, "--mindepth"),
        valueKind: "number",
      },
      { flags: "--print", description: "print one path per line (always on)" },
      { flags: "--print0", description: "print the bytes of each path and a NUL, for xargs -0" },
      AT,
      READ_MODE,
      NO_GLOB,
    ],
    rewrite: withDoubleDashes,
    examples: [
      ["ashlar find /photos -iname '*.jpg' -size +10M", "-name and --name are the same option"],
      [
        "ashlar find /tmp -type f -mtime +30 -print0 | xargs -0 ashlar rm --no-glob",
        "every name is safe in such a pipe",
      ],
    ],
    onClosedOutput: "stop",
    load: () => import("./commands/find.ts"),
  },
  {
    name: "tree",
    summary: "draw a directory tree",
    arguments: "[path]",
    argumentKinds: ["remote-path"],
    options: [
      {
        flags: "-L, --level <count>",
        description: "draw down to this level",
        parse: (text) => parseCount(text, "--level", 1),
        valueKind: "number",
      },
      HUMAN,
      { flags: "-d, --directories", description: "draw only directories" },
    ],
    examples: [["ashlar tree -L 2 /", "two levels"]],
    onClosedOutput: "stop",
    load: () => import("./commands/tree.ts"),
  },
  {
    name: "du",
    summary: "add up sizes",
    arguments: "[path...]",
    argumentKinds: ["remote-path"],
    options: [
      HUMAN_ELSEWHERE,
      { flags: "-s, --summarize", description: "print only the total of each argument" },
      {
        flags: "-d, --depth <count>",
        description: "print directories down to this level",
        parse: (text) => parseCount(text, "--depth"),
        valueKind: "number",
      },
      { flags: "--inodes", description: "count files and directories instead of bytes" },
      NO_GLOB,
    ],
    examples: [["ashlar du -h -d 1 /", "size without and with replication"]],
    onClosedOutput: "stop",
    load: () => import("./commands/du.ts"),
  },
  {
    name: "watch",
    summary: "print changes as they happen, without gaps",
    arguments: "[path]",
    argumentKinds: ["remote-path"],
    options: [
      {
        flags: "--from <index>",
        description: "start position: INDEX or INDEX:SEQUENCE (default: now)",
        parse: (text) => parseCursor(text, "--from"),
        valueKind: "number",
      },
      { flags: "--heartbeats", description: "print the position of the feed every second" },
    ],
    examples: [
      ["ashlar watch /photos", "until Ctrl-C"],
      [
        "ashlar watch --json --from 1234:0 / | jq -r .path",
        "continue where an earlier watch ended",
      ],
    ],
    idle: "no change",
    onClosedOutput: "stop",
    load: () => import("./commands/watch.ts"),
  },
];
