import type { MastersStatus } from "../../../shared/protocol/masters-api.ts";
import type { RunCommand } from "../command.ts";
import { NodeNames } from "../node-names.ts";
import type { Output } from "../output.ts";
import { refusalJson, withNodes } from "../status-view.ts";
import { type Column, formatTable } from "../table-view.ts";

export const run: RunCommand = async (context) => {
  const { output, signal } = context;
  const fileSystem = await context.fileSystem();
  const status = await fileSystem.masters.status({ signal });
  if (output.options.json) await output.json("ashlar.master-status/1", jsonOf(status));
  else await output.line(describe(status, output, await NodeNames.of(context)));
};

const COLUMNS: readonly Column[] = [
  { heading: "MASTER" },
  { heading: "ROLE" },
  { heading: "STATE" },
  { heading: "MATCH", isRight: true, dropRank: 2 },
  { heading: "BEHIND", isRight: true, dropRank: 1 },
  { heading: "ADDRESS" },
];

function describe(status: MastersStatus, output: Output, names: NodeNames): string {
  const { columns, cell } = withNodes(COLUMNS, names);
  const rows = status.masters.map(({ memberId, vote, isLeader, progress, address }) => [
    ...cell(address),
    String(memberId),
    isLeader ? "leader" : vote,
    stateOf(isLeader, progress),
    isLeader || progress === null ? "-" : String(progress.matchIndex),
    isLeader || progress === null ? "-" : String(status.lastIndex - progress.matchIndex),
    address,
  ]);
  const table = formatTable(columns, rows, output.columns);
  const log = `term ${status.term}, log up to ${status.lastIndex}, committed up to ${status.committedIndex}`;
  return status.isJoint
    ? `${table}\n\n${log}; a membership change is in progress`
    : `${table}\n\n${log}`;
}

type Progress = MastersStatus["masters"][number]["progress"];

function stateOf(isLeader: boolean, progress: Progress): string {
  if (isLeader || progress === null) return "-";
  if (!progress.isActive) return "no response";
  if (progress.refusal !== null) return "refused";
  return { probe: "probing", snapshot: "receiving the state", replicate: "replicating" }[
    progress.state
  ];
}

function jsonOf(status: MastersStatus): Record<string, unknown> {
  return {
    term: status.term,
    last_index: status.lastIndex,
    committed_index: status.committedIndex,
    is_joint: status.isJoint,
    masters: status.masters.map(({ memberId, address, vote, isLeader, progress }) => ({
      member_id: memberId,
      address,
      vote,
      is_leader: isLeader,
      state: progress?.state ?? null,
      match_index: progress?.matchIndex ?? null,
      is_active: progress?.isActive ?? null,
      refusal: refusalJson(progress?.refusal),
    })),
  };
}
