import { parseSizeBytes } from "../../shared/display/quantities.ts";
import type { CommandDefinition, OptionDefinition } from "./command.ts";
import { parseCount, parseMode } from "./parse-values.ts";
import { AT, READ_MODE } from "./read-flags.ts";

const FORCE: OptionDefinition = { flags: "-f, --force", description: "replace what is there" };
const NO_GLOB: OptionDefinition = {
  flags: "--no-glob",
  description: "take remote names as they are, with * and ? in them",
};
const PARALLEL: OptionDefinition = {
  flags: "--parallel <count>",
  description: "files at a time (default: twice the CPUs, at most 8)",
  parse: (text) => parseCount(text, "--parallel", 1),
};
const FILTERS: readonly OptionDefinition[] = [
  { flags: "--include <glob>", description: "only names or relative paths that match" },
  { flags: "--exclude <glob>", description: "no names or relative paths that match" },
];
const DRY_RUN: OptionDefinition = {
  flags: "-n, --dry-run",
  description: "say what would be done and do nothing",
};

/** Commands that move or prove bytes. */
export const DATA_COMMANDS: readonly CommandDefinition[] = [
  {
    name: "put",
    summary: "copy local files into the cluster",
    arguments: "<source...>",
    usage: "[options] <source...> <target>",
    options: [
      { flags: "-r, --recursive", description: "copy directories with all that is in them" },
      FORCE,
      { flags: "--no-clobber", description: "pass over files that are there already" },
      { flags: "-p, --preserve", description: "keep modes, owners and times" },
      {
        flags: "--mode <octal>",
        description: "permission bits of new files",
        parse: (text) => parseMode(text, "--mode"),
      },
      { flags: "--class <name>", description: "storage class of new files" },
      {
        flags: "--chunk-size <size>",
        description: "a power of two, 1MiB to 64MiB (default 64MiB)",
        parse: (text) => parseSizeBytes(text, "--chunk-size"),
      },
      PARALLEL,
      ...FILTERS,
      {
        flags: "--files-from <file>",
        description: "sources from FILE (`-`: standard input), one a line; then TARGET alone",
      },
      { flags: "-0, --null", description: "names in --files-from end with NUL: find -print0" },
      { flags: "--resume", description: "pass over files that are there with the same content" },
      {
        flags: "--checksum <blake3:HEX>",
        description: "refuse to publish a single file whose bytes hash to something else",
      },
      DRY_RUN,
    ],
    examples: [
      ["ashlar put report.pdf /docs/", "one file into a directory"],
      ["ashlar put -r photos /photos", "a tree; the last argument is the target"],
      ["tar c src | ashlar put - /backup/src.tar", "from standard input"],
    ],
    load: () => import("./commands/put.ts"),
  },
  {
    name: "get",
    summary: "copy files out of the cluster; every block is proved",
    arguments: "<source...>",
    usage: "[options] <source...> <target>",
    options: [
      { flags: "-r, --recursive", description: "copy directories with all that is in them" },
      FORCE,
      { flags: "-p, --preserve", description: "keep modes and times" },
      {
        flags: "--range <from-to>",
        description: "bytes FROM to TO, both included; FROM- to the end; -N the last N",
      },
      PARALLEL,
      ...FILTERS,
      { flags: "--resume", description: "pass over local files that have the same bytes" },
      DRY_RUN,
      AT,
      READ_MODE,
      NO_GLOB,
    ],
    examples: [
      ["ashlar get /docs/report.pdf .", "one file into the working directory"],
      ["ashlar get -r /photos ./photos", "a tree"],
      [
        "ashlar get '/logs/2026-*.gz' logs/",
        "what matches; quoted, so that the shell leaves it alone",
      ],
      ["ashlar get /backup/src.tar - | tar x", "to standard output"],
    ],
    load: () => import("./commands/get.ts"),
  },
  {
    name: "cat",
    summary: "print files",
    arguments: "<path...>",
    options: [
      {
        flags: "--offset <size>",
        description: "begin here",
        parse: (text) => parseSizeBytes(text, "--offset"),
      },
      {
        flags: "--length <size>",
        description: "at most so many bytes",
        parse: (text) => parseSizeBytes(text, "--length"),
      },
      AT,
      READ_MODE,
      NO_GLOB,
    ],
    examples: [
      ["ashlar cat /notes/today", "a file"],
      ["ashlar cat --offset 1MiB --length 4KiB /big | xxd", "a part of one"],
    ],
    load: () => import("./commands/cat.ts"),
  },
  {
    name: "checksum",
    summary: "print the BLAKE3 of files, as b3sum does",
    arguments: "[path...]",
    options: [
      {
        flags: "--root",
        description:
          "print the content root instead: known at once, equal for equal files that were cut alike",
      },
      { flags: "-c, --check <file>", description: "check the sums in FILE (`-`: standard input)" },
      NO_GLOB,
    ],
    examples: [
      ["ashlar checksum /data/a", "compare with: b3sum a"],
      ["ashlar checksum /data/* > SUMS; ashlar checksum --check SUMS", "check later"],
    ],
    load: () => import("./commands/checksum.ts"),
  },
  {
    name: "verify",
    summary: "re-read and prove every block of files and trees",
    arguments: "<path...>",
    options: [
      {
        flags: "--all-replicas",
        description: "on every chunkserver that holds one, not on one good replica alone",
      },
      NO_GLOB,
    ],
    examples: [
      ["ashlar verify /photos", "exit status 7 if anything cannot be read"],
      ["ashlar verify --all-replicas /", "the whole cluster, every copy"],
    ],
    load: () => import("./commands/verify.ts"),
  },
];
