import type { CommandDefinition } from "./command.ts";
import { parseCount, parseDurationMs } from "./parse-values.ts";
import { AT, READ_MODE } from "./read-flags.ts";
import { REPLACE_OPTIONS } from "./replace-flags.ts";
import { HUMAN_ELSEWHERE } from "./shared-flags.ts";

/** Commands for states of the past and for transactions. */
export const HISTORY_COMMANDS: readonly CommandDefinition[] = [
  {
    name: "history",
    summary: "show the history of a path",
    arguments: "<path...>",
    argumentKinds: ["remote-path"],
    options: [
      HUMAN_ELSEWHERE,
      {
        flags: "--limit <count>",
        description: "print at most this many, oldest first",
        parse: (text) => parseCount(text, "--limit", 1),
        valueKind: "number",
      },
      READ_MODE,
    ],
    examples: [
      [
        "ashlar history /docs/report.pdf",
        "index, time, change, size and content root of every version",
      ],
      ["ashlar history /gone", "also for a path that no longer exists"],
    ],
    onClosedOutput: "stop",
    load: () => import("./commands/history.ts"),
  },
  {
    name: "history trim",
    summary: "forget all old versions, or change how long they are kept",
    options: [
      {
        flags: "--retention <duration>",
        description: "keep old versions for this time from now on: 12h, 7d; at most 366d",
        parse: (text) => parseDurationMs(text, "--retention"),
        valueKind: "text",
      },
      { flags: "--yes", description: "do not ask" },
    ],
    examples: [
      [
        "ashlar history trim",
        "in a full cluster, after `rm`: their space is else kept for the retention of the history",
      ],
      ["ashlar history trim --retention 7d", "`ashlar status` shows the retention"],
    ],
    onClosedOutput: "continue",
    load: () => import("./commands/history-trim.ts"),
  },
  {
    name: "restore",
    summary: "restore a file or a tree from the past; no data is copied",
    arguments: "<path>",
    argumentKinds: ["remote-path"],
    options: [
      AT,
      { flags: "--to <path>", description: "restore to another path", valueKind: "remote-path" },
      ...REPLACE_OPTIONS,
      { flags: "--dry-run", description: "print what would be done and change nothing" },
    ],
    examples: [
      ["ashlar restore /docs/report.pdf --at 2h", "a file as it was two hours ago"],
      ["ashlar restore /photos --at 1234 --to /photos.then", "a tree to another path"],
    ],
    onClosedOutput: "continue",
    load: () => import("./commands/restore.ts"),
  },
  {
    name: "txn",
    summary: "commit the operations in a file atomically",
    arguments: "<file>",
    argumentKinds: ["local-path"],
    examples: [
      ["ashlar txn changes.jsonl", "one JSON object per line: a precondition or an operation"],
      [
        `echo '{"op":"rename","from":"/new","to":"/live"}' | ashlar txn -`,
        "from standard input; docs/cli.md lists the operations",
      ],
    ],
    onClosedOutput: "continue",
    load: () => import("./commands/txn.ts"),
  },
];
