import type { CommandDefinition } from "./command.ts";
import { parseCount, parseDurationMs } from "./parse-values.ts";

/** Commands that say who the masters of a cluster are. `ashlar master` with flags alone runs one. */
export const MASTER_COMMANDS: readonly CommandDefinition[] = [
  {
    name: "master status",
    summary: "who the masters are, who leads, and how far each has come",
    examples: [
      ["ashlar master status", "one row a master"],
      ["ashlar master status --json | jq '.masters[] | select(.is_leader).member_id'", "who leads"],
    ],
    load: () => import("./commands/master-status.ts"),
  },
  {
    name: "master add",
    summary: "add masters that run and wait for it (join = true)",
    arguments: "<number=address...>",
    options: [
      {
        flags: "--replace <numbers>",
        description: "masters that go in the same step, separated by commas",
        parse: (text) => text.split(",").map((each) => parseCount(each, "--replace", 1)),
      },
      {
        flags: "--wait <duration>",
        description: "give up if they have not caught up after this (default: never)",
        parse: (text) => parseDurationMs(text, "--wait"),
      },
    ],
    examples: [
      [
        "ashlar master add 4=m4.example.net:7400",
        "it gets the state and the log, then its vote; the same command finishes what was cut short",
      ],
      [
        "ashlar master add 5=m5.example.net:7400 --replace 2",
        "instead of one that is lost for good",
      ],
    ],
    load: () => import("./commands/master-add.ts"),
  },
  {
    name: "master remove",
    summary: "remove masters; one that leads hands over first",
    arguments: "<number...>",
    examples: [["ashlar master remove 2", "then stop its process"]],
    load: () => import("./commands/master-remove.ts"),
  },
  {
    name: "master transfer",
    summary: "let another master lead",
    arguments: "[number]",
    examples: [
      ["ashlar master transfer 3", "before maintenance of the one that leads"],
      ["ashlar master transfer", "to whichever lacks least of the log"],
    ],
    load: () => import("./commands/master-transfer.ts"),
  },
];
