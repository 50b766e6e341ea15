import type { CommandDefinition, OptionDefinition } from "./command.ts";
import { parseCount, parseCursor, parseMode } from "./parse-values.ts";
import { AT, READ_MODE } from "./read-flags.ts";

const HUMAN: OptionDefinition = {
  flags: "-h, --human-readable",
  description: "sizes as 1.5 GiB (powers of 1024)",
};
const NO_GLOB: OptionDefinition = {
  flags: "--no-glob",
  description: "take names as they are, with * and ? in them",
};
const RECURSIVE: OptionDefinition = {
  flags: "-r, --recursive",
  description: "directories with all that is in them",
};
const DRY_RUN: OptionDefinition = {
  flags: "-n, --dry-run",
  description: "say what would be done and do nothing",
};

/** Commands that look at names and change them. */
export const NAMESPACE_COMMANDS: readonly CommandDefinition[] = [
  {
    name: "ls",
    summary: "list files and directories",
    arguments: "[path...]",
    options: [
      { flags: "-l, --long", description: "mode, copies, owner, group, size, time" },
      HUMAN,
      { flags: "-R, --recursive", description: "and what is below" },
      { flags: "-d, --directory", description: "directories themselves, not what is in them" },
      { flags: "-1, --one", description: "one name a line (always so)" },
      { flags: "-a, --all", description: "names that begin with a dot too (always so)" },
      { flags: "-t, --sort-time", description: "newest first" },
      { flags: "-S, --sort-size", description: "largest first" },
      { flags: "--reverse", description: "the other way round" },
      {
        flags: "--limit <count>",
        description: "at most so many entries",
        parse: (text) => parseCount(text, "--limit", 1),
      },
      AT,
      READ_MODE,
      NO_GLOB,
    ],
    examples: [
      ["ashlar ls -l -h /photos", "with sizes and times"],
      ["ashlar ls --at 2h /photos", "as it was two hours ago"],
      ["ashlar ls --json -R / | jq -r .path", "every path, for a script"],
    ],
    load: () => import("./commands/ls.ts"),
  },
  {
    name: "stat",
    summary: "show what is known of a path",
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
    load: () => import("./commands/stat.ts"),
  },
  {
    name: "mkdir",
    summary: "make directories",
    arguments: "<path...>",
    options: [
      { flags: "-p, --parents", description: "and missing parents; one that is there is no error" },
      {
        flags: "-m, --mode <octal>",
        description: "permission bits (default 755)",
        parse: (text) => parseMode(text, "--mode"),
      },
    ],
    examples: [["ashlar mkdir -p /photos/2026/07", "a path of directories"]],
    load: () => import("./commands/mkdir.ts"),
  },
  {
    name: "rmdir",
    summary: "remove empty directories",
    arguments: "<path...>",
    examples: [["ashlar rmdir /photos/empty", "refused if anything is in it"]],
    load: () => import("./commands/rmdir.ts"),
  },
  {
    name: "rm",
    summary: "remove files and trees",
    arguments: "<path...>",
    options: [
      RECURSIVE,
      { flags: "-f, --force", description: "no error for what is not there" },
      { flags: "-y, --yes", description: "do not ask; needed for a directory off a terminal" },
      { flags: "-i, --interactive", description: "ask for each" },
      DRY_RUN,
      NO_GLOB,
    ],
    examples: [
      ["ashlar rm /docs/old.pdf", "a file"],
      ["ashlar rm -r --yes /tmp/build", "a tree, as one step, from a script"],
    ],
    load: () => import("./commands/rm.ts"),
  },
  {
    name: "mv",
    summary: "rename or move files and directories",
    arguments: "<source...>",
    usage: "[options] <source...> <target>",
    options: [
      { flags: "--no-clobber", description: "refuse to replace a file that is there" },
      { flags: "-f, --force", description: "replace a file that is there (the default, as in mv)" },
      NO_GLOB,
    ],
    examples: [
      ["ashlar mv /a /b", "rename; readers see one or the other"],
      ["ashlar mv '/in/*.csv' /done/", "several into a directory"],
    ],
    load: () => import("./commands/mv.ts"),
  },
  {
    name: "cp",
    summary: "copy inside the cluster, by reference: no data moves",
    arguments: "<source...>",
    usage: "[options] <source...> <target>",
    options: [
      RECURSIVE,
      { flags: "-p, --preserve", description: "keep modes, owners and times" },
      { flags: "--no-clobber", description: "refuse to replace a file that is there" },
      NO_GLOB,
    ],
    examples: [
      ["ashlar cp /big /big.copy", "takes no space, whatever the size"],
      ["ashlar cp -r /photos /photos.2026", "a tree"],
    ],
    load: () => import("./commands/cp.ts"),
  },
  {
    name: "chmod",
    summary: "change permission bits",
    arguments: "<mode> <path...>",
    options: [{ flags: "-R, --recursive", description: "and all that is below" }, NO_GLOB],
    examples: [["ashlar chmod 640 /docs/secret", "octal, as in chmod(1)"]],
    load: () => import("./commands/chmod.ts"),
  },
  {
    name: "chown",
    summary: "change owner and group, by number",
    arguments: "<uid[:gid]> <path...>",
    options: [{ flags: "-R, --recursive", description: "and all that is below" }, NO_GLOB],
    examples: [["ashlar chown 1000:1000 /home/ada", "numbers: the cluster knows no names"]],
    load: () => import("./commands/chown.ts"),
  },
  {
    name: "du",
    summary: "add up sizes",
    arguments: "[path...]",
    options: [
      HUMAN,
      { flags: "-s, --summarize", description: "the total of each argument alone" },
      {
        flags: "-d, --depth <count>",
        description: "directories down to so many levels",
        parse: (text) => parseCount(text, "--depth"),
      },
      { flags: "--inodes", description: "files and directories instead of bytes" },
      NO_GLOB,
    ],
    examples: [["ashlar du -h -d 1 /", "bytes as users see them, and with all copies"]],
    load: () => import("./commands/du.ts"),
  },
  {
    name: "watch",
    summary: "print what happens, as it happens, without gaps",
    arguments: "[path]",
    options: [
      {
        flags: "--from <index>",
        description: "begin there: INDEX or INDEX:SEQUENCE (default: now)",
        parse: (text) => parseCursor(text, "--from"),
      },
      { flags: "--heartbeats", description: "say every second how far the feed was read" },
    ],
    examples: [
      ["ashlar watch /photos", "until Ctrl-C"],
      ["ashlar watch --json --from 1234:0 / | jq -r .path", "go on where an earlier one ended"],
    ],
    load: () => import("./commands/watch.ts"),
  },
  {
    name: "tree",
    summary: "draw a tree",
    arguments: "[path]",
    options: [
      {
        flags: "-L, --level <count>",
        description: "down to so many levels",
        parse: (text) => parseCount(text, "--level", 1),
      },
      HUMAN,
      { flags: "-d, --directories", description: "directories alone" },
    ],
    examples: [["ashlar tree -L 2 /", "two levels"]],
    load: () => import("./commands/tree.ts"),
  },
];
