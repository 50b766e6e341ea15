import { parseSizeBytes } from "../../shared/display/quantities.ts";
import type { CommandDefinition, OptionDefinition } from "./command.ts";
import { withLineCounts } from "./habit-arguments.ts";
import { parseCount, parseMode } from "./parse-values.ts";
import { AT, READ_MODE } from "./read-flags.ts";
import { REPLACE_OPTIONS } from "./replace-flags.ts";
import { DRY_RUN, NO_GLOB, NO_TARGET_DIRECTORY } from "./shared-flags.ts";

const PARALLEL: OptionDefinition = {
  flags: "--parallel <count>",
  description:
    "number of files at the same time (default: 64 below 1 MiB; twice the CPUs, at most 8, of others)",
  parse: (text) => parseCount(text, "--parallel", 1),
  valueKind: "number",
};
const FILTERS: readonly OptionDefinition[] = [
  {
    flags: "--include <glob>",
    description: "only files whose name or relative path matches",
    valueKind: "text",
  },
  {
    flags: "--exclude <glob>",
    description: "no files whose name or relative path matches",
    valueKind: "text",
  },
];

/** Commands that transfer or verify file content. */
export const DATA_COMMANDS: readonly CommandDefinition[] = [
  {
    name: "put",
    summary: "copy local files into the cluster",
    arguments: "<source...>",
    argumentKinds: [{ source: "local-path", target: "remote-path" }],
    usage: "[options] <source...> <target>",
    options: [
      { flags: "-r, --recursive", description: "copy directories and everything in them" },
      ...REPLACE_OPTIONS,
      { flags: "-p, --preserve", description: "keep permission bits, owners and times (to 1 ms)" },
      NO_TARGET_DIRECTORY,
      {
        flags: "--mode <octal>",
        description: "permission bits of new files",
        parse: (text) => parseMode(text, "--mode"),
        valueKind: "number",
      },
      { flags: "--class <name>", description: "storage class of new files", valueKind: "text" },
      {
        flags: "--chunk-size <size>",
        description: "a power of two from 1MiB to 64MiB (default 64MiB)",
        parse: (text) => parseSizeBytes(text, "--chunk-size"),
        valueKind: "text",
      },
      PARALLEL,
      ...FILTERS,
      {
        flags: "--files-from <file>",
        description:
          "read the sources from FILE (`-`: standard input), one per line; relative names keep their directories; then give only TARGET, a directory",
        valueKind: "local-path",
        givesSources: true,
      },
      {
        flags: "-0, --null",
        description: "names in --files-from end with NUL, as find -print0 writes them",
      },
      {
        flags: "--resume",
        description: "skip files that exist with the same content; replace others",
      },
      {
        flags: "--checksum <blake3:HEX>",
        description: "publish a single file only if its content has this hash",
        valueKind: "text",
      },
      DRY_RUN,
    ],
    examples: [
      ["ashlar put report.pdf /docs/", "one file into a directory"],
      ["ashlar put -r photos /photos", "a directory tree; the last argument is the target"],
      ["tar c src | ashlar put - /backup/src.tar", "from standard input"],
    ],
    onClosedOutput: "continue",
    load: () => import("./commands/put.ts"),
  },
  {
    name: "get",
    summary: "copy files out of the cluster; every block is verified",
    arguments: "<source...>",
    argumentKinds: [{ source: "remote-path", target: "local-path" }],
    usage: "[options] <source...> [target]",
    options: [
      { flags: "-r, --recursive", description: "copy directories and everything in them" },
      ...REPLACE_OPTIONS,
      {
        flags: "-p, --preserve",
        description: "keep permission bits, times, and owners where permitted",
      },
      NO_TARGET_DIRECTORY,
      {
        flags: "--range <from-to>",
        description: "bytes FROM to TO, both inclusive; FROM-: to the end; -N: the last N",
        valueKind: "text",
      },
      PARALLEL,
      ...FILTERS,
      { flags: "--resume", description: "skip local files with the same content; replace others" },
      DRY_RUN,
      AT,
      READ_MODE,
      NO_GLOB,
    ],
    examples: [
      ["ashlar get /docs/report.pdf .", "one file into the working directory"],
      ["ashlar get -r /photos ./photos", "a directory tree"],
      [
        "ashlar get '/logs/2026-*.gz' logs/",
        "all matches; the quotes keep the shell from expanding the pattern",
      ],
      ["ashlar get /backup/src.tar - | tar x", "to standard output"],
    ],
    onClosedOutput: "continue",
    load: () => import("./commands/get.ts"),
  },
  {
    name: "sync",
    summary: "make a directory equal to another, into or out of the cluster or within it",
    arguments: "<source> <target>",
    argumentKinds: ["marked-path", "marked-path"],
    options: [
      {
        flags: "--delete",
        description: "delete at TARGET what SOURCE does not have, if all of SOURCE could be read",
      },
      {
        flags: "-y, --yes",
        description: "do not ask before files are deleted; required without a terminal",
      },
      {
        flags: "-c, --checksum",
        description: "compare the content of all files, not size and time of modification",
      },
      ...REPLACE_OPTIONS.filter(({ flags }) => !flags.includes("--force")),
      {
        flags: "-p, --preserve",
        description: "keep permission bits, owners, and times of directories",
      },
      PARALLEL,
      ...FILTERS,
      DRY_RUN,
    ],
    examples: [
      ["ashlar sync photos ashlar:/photos", "into the cluster; only what differs is sent"],
      ["ashlar sync ashlar:/photos photos", "out of the cluster"],
      ["ashlar sync --delete --dry-run src ashlar:/src", "print what a sync would do"],
      ["ashlar sync --delete --yes src ashlar:/src", "an exact copy, from a script"],
    ],
    onClosedOutput: "continue",
    load: () => import("./commands/sync.ts"),
  },
  {
    name: "cat",
    summary: "print files",
    arguments: "<path...>",
    argumentKinds: ["remote-path"],
    options: [
      {
        flags: "--offset <size>",
        description: "first byte",
        parse: (text) => parseSizeBytes(text, "--offset"),
        valueKind: "text",
      },
      {
        flags: "--length <size>",
        description: "maximum number of bytes",
        parse: (text) => parseSizeBytes(text, "--length"),
        valueKind: "text",
      },
      AT,
      READ_MODE,
      NO_GLOB,
    ],
    examples: [
      ["ashlar cat /notes/today", "a file"],
      ["ashlar cat --offset 1MiB --length 4KiB /big | xxd", "a part of a file"],
    ],
    onClosedOutput: "stop",
    load: () => import("./commands/cat.ts"),
  },
  {
    name: "head",
    summary: "print the beginning of files",
    arguments: "<path...>",
    argumentKinds: ["remote-path"],
    options: [
      {
        flags: "-n, --lines <count>",
        description: "number of lines (default: 10); -N: all but the last N; -20 is -n 20",
        valueKind: "number",
      },
      {
        flags: "-c, --bytes <size>",
        description: "number of bytes; -N: all but the last N",
        valueKind: "text",
      },
      AT,
      READ_MODE,
      NO_GLOB,
    ],
    rewrite: withLineCounts,
    examples: [
      ["ashlar head -n 3 /logs/today", "the first three lines"],
      ["ashlar head -c 1MiB /disk.img", "the first bytes"],
      ["ashlar head '/logs/*'", "ten lines of each file, with headings; none with --quiet"],
    ],
    onClosedOutput: "stop",
    load: () => import("./commands/head.ts"),
  },
  {
    name: "tail",
    summary: "print the end of files; only the end is read",
    arguments: "<path...>",
    argumentKinds: ["remote-path"],
    options: [
      {
        flags: "-n, --lines <count>",
        description: "number of lines (default: 10); +N: from line N on; -20 is -n 20",
        valueKind: "number",
      },
      {
        flags: "-c, --bytes <size>",
        description: "number of bytes; +N: from byte N on",
        valueKind: "text",
      },
      AT,
      READ_MODE,
      NO_GLOB,
    ],
    rewrite: withLineCounts,
    examples: [
      ["ashlar tail -n 100 /logs/today", "the last lines"],
      ["ashlar tail -n +2 /table.csv", "everything after the first line"],
    ],
    onClosedOutput: "stop",
    load: () => import("./commands/tail.ts"),
  },
  {
    name: "checksum",
    summary: "print the BLAKE3 of files, as b3sum does",
    arguments: "[path...]",
    argumentKinds: ["remote-path"],
    options: [
      {
        flags: "--root",
        description:
          "print the content root instead: needs no read; equal for equal content with equal chunk sizes",
      },
      {
        flags: "-c, --check <file>",
        description: "check the sums in FILE (`-`: standard input)",
        valueKind: "local-path",
      },
      NO_GLOB,
    ],
    examples: [
      ["ashlar checksum /data/a", "compare with: b3sum a"],
      ["ashlar checksum /data/* > SUMS; ashlar checksum --check SUMS", "check the files later"],
    ],
    // The status of --check is a result.
    onClosedOutput: ({ check }) => (check === undefined ? "stop" : "continue"),
    load: () => import("./commands/checksum.ts"),
  },
  {
    name: "verify",
    summary: "read and verify every block of files and trees",
    arguments: "<path...>",
    argumentKinds: ["remote-path"],
    options: [
      {
        flags: "--all-replicas",
        description: "verify every replica, not one good replica per chunk",
      },
      NO_GLOB,
    ],
    examples: [
      ["ashlar verify /photos", "exit status 7 if any file cannot be read"],
      ["ashlar verify --all-replicas /", "every replica in the cluster"],
    ],
    onClosedOutput: "continue",
    load: () => import("./commands/verify.ts"),
  },
];
