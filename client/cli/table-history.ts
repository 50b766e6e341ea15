import type { CommandDefinition } from "./command.ts";
import { parseCount } from "./parse-values.ts";
import { AT, READ_MODE } from "./read-flags.ts";

/** Commands about the past, and changes as a whole. */
export const HISTORY_COMMANDS: readonly CommandDefinition[] = [
  {
    name: "history",
    summary: "show what happened at a path",
    arguments: "<path...>",
    options: [
      { flags: "-h, --human-readable", description: "sizes as 1.5 GiB (powers of 1024)" },
      {
        flags: "--limit <count>",
        description: "at most so many, the oldest",
        parse: (text) => parseCount(text, "--limit", 1),
      },
      READ_MODE,
    ],
    examples: [
      ["ashlar history /docs/report.pdf", "index, time, change, size and root of every version"],
      ["ashlar history /gone", "also of what is not there any more"],
    ],
    load: () => import("./commands/history.ts"),
  },
  {
    name: "restore",
    summary: "bring back a file or a tree as it was, by reference",
    arguments: "<path>",
    options: [
      AT,
      { flags: "--to <path>", description: "to another place than its own" },
      { flags: "-f, --force", description: "replace what is there, a directory as a whole" },
      { flags: "-n, --dry-run", description: "say what would be done and do nothing" },
    ],
    examples: [
      ["ashlar restore /docs/report.pdf --at 2h", "a file as it was two hours ago"],
      ["ashlar restore /photos --at 1234 --to /photos.then", "a tree beside what is there now"],
    ],
    load: () => import("./commands/restore.ts"),
  },
  {
    name: "txn",
    summary: "commit a file of operations as one: all or nothing",
    arguments: "<file>",
    examples: [
      ["ashlar txn changes.jsonl", "one JSON object a line: a precondition or an operation"],
      [
        `echo '{"op":"rename","from":"/new","to":"/live"}' | ashlar txn -`,
        "from standard input; docs/cli.md has the schema",
      ],
    ],
    load: () => import("./commands/txn.ts"),
  },
];
