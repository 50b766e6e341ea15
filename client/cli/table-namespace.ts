import type { CommandDefinition, OptionDefinition } from "./command.ts";
import { withDoubleDashes } from "./habit-arguments.ts";
import { parseCount, parseCursor, parseMode } from "./parse-values.ts";
import { AT, READ_MODE } from "./read-flags.ts";
import { REPLACE_OPTIONS } from "./replace-flags.ts";

const HUMAN: OptionDefinition = {
  flags: "-h, --human-readable",
  description: "print sizes as 1.5 GiB (powers of 1024)",
};
const NO_GLOB: OptionDefinition = {
  flags: "--no-glob",
  description: "take * ? [ ] { } in paths literally",
};
const RECURSIVE: OptionDefinition = {
  flags: "-r, --recursive",
  description: "include directories and everything in them",
};
const NO_TARGET_DIRECTORY: OptionDefinition = {
  flags: "-T, --no-target-directory",
  description: "TARGET is the name of the copy, also if it is a directory",
};
const DRY_RUN: OptionDefinition = {
  flags: "--dry-run",
  description: "print what would be done and change nothing",
};

/** Commands that read and change the namespace. */
export const NAMESPACE_COMMANDS: readonly CommandDefinition[] = [
  {
    name: "ls",
    summary: "list files and directories",
    arguments: "[path...]",
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
    options: [
      {
        flags: "--format <format>",
        description:
          "%n name %F kind %b bytes %a mode %u uid %g gid %y time %r copies %i inode %% %",
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
    usage: "[path...] [tests] [options]",
    options: [
      {
        flags: "--name <pattern>",
        description: "the last name matches",
        isRepeated: true,
      },
      {
        flags: "--iname <pattern>",
        description: "the last name matches in upper or lower case",
        isRepeated: true,
      },
      {
        flags: "--size <size>",
        description:
          "files with +N (more), -N (less) or N units, rounded up: c (bytes), k, M, G; without a unit blocks of 512 bytes",
        isRepeated: true,
      },
      {
        flags: "--mtime <days>",
        description: "changed more than (+N), less than (-N) or N days ago; fractions are ignored",
        isRepeated: true,
      },
      { flags: "--newer <path>", description: "changed later than PATH was", isRepeated: true },
      {
        flags: "--type <types>",
        description: "f: files, d: directories",
        isRepeated: true,
      },
      {
        flags: "--maxdepth <count>",
        description: "go down to this level; 0: the arguments alone",
        parse: (text) => parseCount(text, "--maxdepth"),
      },
      {
        flags: "--mindepth <count>",
        description: "print from this level on",
        parse: (text) => parseCount(text, "--mindepth"),
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
    name: "mkdir",
    summary: "make directories",
    arguments: "<path...>",
    options: [
      {
        flags: "-p, --parents",
        description: "make missing parents; an existing directory is no error",
      },
      {
        flags: "-m, --mode <octal>",
        description: "permission bits (default 755)",
        parse: (text) => parseMode(text, "--mode"),
      },
    ],
    examples: [["ashlar mkdir -p /photos/2026/07", "a directory and its parents"]],
    onClosedOutput: "continue",
    load: () => import("./commands/mkdir.ts"),
  },
  {
    name: "touch",
    summary: "set the times of files and directories; create missing files",
    arguments: "<path...>",
    options: [
      { flags: "-c, --no-create", description: "create no file" },
      {
        flags: "-d, --date <time>",
        description: "2026-11-21T09:00:00Z, @SECONDS since 1970, or 2h (ago); default: now",
      },
      { flags: "-r, --reference <path>", description: "take the times of PATH" },
      { flags: "-m, --modification", description: "set only the time of modification" },
      { flags: "-a, --access", description: "set only the time of access" },
    ],
    examples: [
      ["ashlar touch /done", "create an empty file, or set its time to now"],
      ["ashlar touch -c -d 2026-11-21 /photos/a.jpg", "never create a file"],
    ],
    onClosedOutput: "continue",
    load: () => import("./commands/touch.ts"),
  },
  {
    name: "rmdir",
    summary: "remove empty directories",
    arguments: "<path...>",
    examples: [["ashlar rmdir /photos/empty", "fails unless the directory is empty"]],
    onClosedOutput: "continue",
    load: () => import("./commands/rmdir.ts"),
  },
  {
    name: "rm",
    summary: "remove files and trees",
    arguments: "<path...>",
    options: [
      RECURSIVE,
      { flags: "-f, --force", description: "no error for a path that does not exist" },
      {
        flags: "-y, --yes",
        description: "do not ask; required for a directory that is not empty without a terminal",
      },
      { flags: "-i, --interactive", description: "ask before each removal" },
      DRY_RUN,
      NO_GLOB,
    ],
    examples: [
      ["ashlar rm /docs/old.pdf", "a file"],
      ["ashlar rm -r --yes /tmp/build", "a directory tree, atomically, from a script"],
    ],
    onClosedOutput: "continue",
    load: () => import("./commands/rm.ts"),
  },
  {
    name: "mv",
    summary: "rename or move files and directories",
    arguments: "<source...>",
    usage: "[options] <source...> <target>",
    options: [...REPLACE_OPTIONS, NO_TARGET_DIRECTORY, NO_GLOB],
    examples: [
      ["ashlar mv /a /b", "rename atomically"],
      ["ashlar mv '/in/*.csv' /done/", "several files into a directory"],
    ],
    onClosedOutput: "continue",
    load: () => import("./commands/mv.ts"),
  },
  {
    name: "cp",
    summary: "copy within the cluster by reference; no data is copied",
    arguments: "<source...>",
    usage: "[options] <source...> <target>",
    options: [
      RECURSIVE,
      { flags: "-p, --preserve", description: "keep permission bits, owners and times" },
      ...REPLACE_OPTIONS,
      NO_TARGET_DIRECTORY,
      NO_GLOB,
    ],
    examples: [
      ["ashlar cp /big /big.copy", "needs no space for data"],
      ["ashlar cp -r /photos /photos.2026", "a directory tree"],
    ],
    onClosedOutput: "continue",
    load: () => import("./commands/cp.ts"),
  },
  {
    name: "chmod",
    summary: "change permission bits",
    arguments: "<mode> <path...>",
    options: [{ flags: "-R, --recursive", description: "and everything below" }, NO_GLOB],
    examples: [["ashlar chmod 640 /docs/secret", "the mode is octal, as in chmod(1)"]],
    onClosedOutput: "continue",
    load: () => import("./commands/chmod.ts"),
  },
  {
    name: "chown",
    summary: "change owner and group, by number",
    arguments: "<uid[:gid]> <path...>",
    options: [{ flags: "-R, --recursive", description: "and everything below" }, NO_GLOB],
    examples: [["ashlar chown 1000:1000 /home/ada", "the cluster has no user names"]],
    onClosedOutput: "continue",
    load: () => import("./commands/chown.ts"),
  },
  {
    name: "du",
    summary: "add up sizes",
    arguments: "[path...]",
    options: [
      HUMAN,
      { flags: "-s, --summarize", description: "print only the total of each argument" },
      {
        flags: "-d, --depth <count>",
        description: "print directories down to this level",
        parse: (text) => parseCount(text, "--depth"),
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
    options: [
      {
        flags: "--from <index>",
        description: "start position: INDEX or INDEX:SEQUENCE (default: now)",
        parse: (text) => parseCursor(text, "--from"),
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
    onClosedOutput: "stop",
    load: () => import("./commands/watch.ts"),
  },
  {
    name: "tree",
    summary: "draw a directory tree",
    arguments: "[path]",
    options: [
      {
        flags: "-L, --level <count>",
        description: "draw down to this level",
        parse: (text) => parseCount(text, "--level", 1),
      },
      HUMAN,
      { flags: "-d, --directories", description: "draw only directories" },
    ],
    examples: [["ashlar tree -L 2 /", "two levels"]],
    onClosedOutput: "stop",
    load: () => import("./commands/tree.ts"),
  },
];
