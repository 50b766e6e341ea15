import type { CommandDefinition } from "./command.ts";
import { parseMode } from "./parse-values.ts";
import { REPLACE_OPTIONS } from "./replace-flags.ts";
import { DRY_RUN, NO_GLOB, NO_TARGET_DIRECTORY, RECURSIVE } from "./shared-flags.ts";

/** Commands that change names and attributes, without file content of this machine. */
export const CHANGE_COMMANDS: readonly CommandDefinition[] = [
  {
    name: "mkdir",
    summary: "make directories",
    arguments: "<path...>",
    argumentKinds: ["remote-path"],
    options: [
      {
        flags: "-p, --parents",
        description: "make missing parents; an existing directory is no error",
      },
      {
        flags: "-m, --mode <octal>",
        description: "permission bits (default 755)",
        parse: (text) => parseMode(text, "--mode"),
        valueKind: "number",
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
    argumentKinds: ["remote-path"],
    options: [
      { flags: "-c, --no-create", description: "create no file" },
      {
        flags: "-d, --date <time>",
        description: "2026-11-21T09:00:00Z, @SECONDS since 1970, or 2h (ago); default: now",
        valueKind: "text",
      },
      {
        flags: "-r, --reference <path>",
        description: "take the times of PATH",
        valueKind: "remote-path",
      },
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
    argumentKinds: ["remote-path"],
    examples: [["ashlar rmdir /photos/empty", "fails unless the directory is empty"]],
    onClosedOutput: "continue",
    load: () => import("./commands/rmdir.ts"),
  },
  {
    name: "rm",
    summary: "remove files and trees",
    arguments: "<path...>",
    argumentKinds: ["remote-path"],
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
    argumentKinds: ["remote-path"],
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
    argumentKinds: ["remote-path"],
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
    argumentKinds: ["number", "remote-path"],
    options: [{ flags: "-R, --recursive", description: "and everything below" }, NO_GLOB],
    examples: [["ashlar chmod 640 /docs/secret", "the mode is octal, as in chmod(1)"]],
    onClosedOutput: "continue",
    load: () => import("./commands/chmod.ts"),
  },
  {
    name: "chown",
    summary: "change owner and group, by number",
    arguments: "<uid[:gid]> <path...>",
    argumentKinds: ["number", "remote-path"],
    options: [{ flags: "-R, --recursive", description: "and everything below" }, NO_GLOB],
    examples: [["ashlar chown 1000:1000 /home/ada", "the cluster has no user names"]],
    onClosedOutput: "continue",
    load: () => import("./commands/chown.ts"),
  },
];
