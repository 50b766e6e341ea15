import type { CommandDefinition } from "./command.ts";
import { parseCount, parseDurationMs } from "./parse-values.ts";

/**
 * Commands that show and change the masters of a cluster. `ashlar master` with flags only runs a
 * master.
 */
export const MASTER_COMMANDS: readonly CommandDefinition[] = [
  {
    name: "master status",
    summary: "show the masters, the leader and the replication progress of each",
    examples: [
      ["ashlar master status", "one row per master"],
      [
        "ashlar master status --json | jq '.masters[] | select(.is_leader).member_id'",
        "the leader",
      ],
    ],
    onClosedOutput: "stop",
    load: () => import("./commands/master-status.ts"),
  },
  {
    name: "master add",
    summary: "add masters that are running with join = true",
    arguments: "<number=address...>",
    argumentKinds: ["text"],
    options: [
      {
        flags: "--replace <numbers>",
        description: "masters to remove in the same change, separated by commas",
        parse: (text) => text.split(",").map((each) => parseCount(each, "--replace", 1)),
        valueKind: "text",
      },
      {
        flags: "--wait <duration>",
        description: "fail if they have not caught up after this time (default: no limit)",
        parse: (text) => parseDurationMs(text, "--wait"),
        valueKind: "text",
      },
    ],
    examples: [
      [
        "ashlar master add 4=m4.example.net:7400",
        "the master receives the state and the log, then its vote; repeat the command after an interruption",
      ],
      ["ashlar master add 5=m5.example.net:7400 --replace 2", "replace a master that is lost"],
    ],
    onClosedOutput: "continue",
    load: () => import("./commands/master-add.ts"),
  },
  {
    name: "master remove",
    summary: "remove masters; a leader transfers its leadership first",
    arguments: "<number...>",
    argumentKinds: ["number"],
    examples: [["ashlar master remove 2", "then stop its process"]],
    onClosedOutput: "continue",
    load: () => import("./commands/master-remove.ts"),
  },
  {
    name: "master transfer",
    summary: "transfer the leadership to another master",
    arguments: "[number]",
    argumentKinds: ["number"],
    examples: [
      ["ashlar master transfer 3", "before maintenance of the leader"],
      ["ashlar master transfer", "to the master with the most complete log"],
    ],
    onClosedOutput: "continue",
    load: () => import("./commands/master-transfer.ts"),
  },
];
