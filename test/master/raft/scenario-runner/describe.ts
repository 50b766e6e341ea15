import type { ChangeOperation } from "../../../../master/raft/membership-change.ts";
import { decodeChange } from "../../../../master/raft/membership-change.ts";
import type {
  Entry,
  HardState,
  Membership,
  Message,
  PeerMessage,
  Proposal,
  Snapshot,
  StorageAppend,
  StorageApply,
} from "../../../../master/raft/messages.ts";
import type { VoterSets } from "../../../../master/raft/quorum.ts";
import { sortedIds } from "../../../../master/raft/quorum.ts";
import type { Leadership, ProgressStatus } from "../../../../master/raft/raft.ts";
import { unreachable } from "../../../../shared/base/assert.ts";
import type { LogIndex, MemberId } from "../../../../shared/base/ids.ts";

// These functions print in the format of etcd-io/raft, so that the scenario files of etcd-io/raft
// can be run against this core.

/** Names of the roles in the output. */
export const ROLE_NAMES = {
  follower: "StateFollower",
  candidate: "StateCandidate",
  leader: "StateLeader",
  "pre-candidate": "StatePreCandidate",
} as const;

/** Names of the messages in the output. */
export const MESSAGE_NAMES = {
  "vote-request": "MsgVote",
  "vote-reply": "MsgVoteResp",
  "pre-vote-request": "MsgPreVote",
  "pre-vote-reply": "MsgPreVoteResp",
  "append-request": "MsgApp",
  "append-accepted": "MsgAppResp",
  "append-rejected": "MsgAppResp",
  "heartbeat-request": "MsgHeartbeat",
  "heartbeat-reply": "MsgHeartbeatResp",
  "snapshot-request": "MsgSnap",
  "timeout-now": "MsgTimeoutNow",
  "transfer-request": "MsgTransferLeader",
  "propose-request": "MsgProp",
  "read-index-request": "MsgReadIndex",
  "read-index-reply": "MsgReadIndexResp",
  "storage-appended": "MsgStorageAppendResp",
  "storage-applied": "MsgStorageApplyResp",
} as const satisfies Record<Message["kind"], string>;

const ENTRY_NAMES = {
  normal: "EntryNormal",
  "conf-change": "EntryConfChange",
  "conf-change-v2": "EntryConfChangeV2",
} as const;

const OPERATION_LETTERS = {
  "add-voter": "v",
  "add-learner": "l",
  remove: "r",
  update: "u",
} as const;

/** Fields of a line about a message. Absent fields are printed as 0 or omitted. */
interface MessageLine {
  readonly from: string;
  readonly to: string;
  readonly name: string;
  readonly term?: number;
  readonly logTerm?: number;
  readonly logIndex?: number;
  /** Index of the hint, if the message is a rejection. */
  readonly rejected?: number;
  readonly commit?: number;
  readonly vote?: number;
  readonly entries?: readonly (Entry | Proposal)[];
  readonly snapshot?: Snapshot | null;
}

/** Formats a message. */
export function describeMessage(message: Message, indent = ""): string {
  return describeLine(lineOf(message), indent);
}

/** Formats a `StorageAppend`, with its replies if requested. */
export function describeAppend(
  id: MemberId,
  append: StorageAppend,
  options: { readonly withReplies: boolean },
): string {
  const line = describeLine({
    from: hex(id),
    to: "AppendThread",
    name: "MsgStorageAppend",
    term: append.hardState?.term ?? 0,
    commit: append.hardState?.commitIndex ?? 0,
    vote: append.hardState?.votedFor ?? 0,
    entries: append.entries,
    snapshot: append.snapshot,
  });
  return options.withReplies ? line + describeReplies(append.replies) : line;
}

/** Formats a `StorageApply`, with its reply if requested. */
export function describeApply(
  id: MemberId,
  apply: StorageApply,
  options: { readonly withReplies: boolean },
): string {
  const line = describeLine({
    from: hex(id),
    to: "ApplyThread",
    name: "MsgStorageApply",
    entries: apply.entries,
  });
  return options.withReplies ? line + describeReplies([apply.reply]) : line;
}

/** Formats an entry: term/index, kind and content. */
export function describeEntry(entry: Entry | Proposal): string {
  const position = "index" in entry ? `${entry.term}/${entry.index}` : "0/0";
  const content = describeContent(entry);
  return `${position} ${ENTRY_NAMES[entry.kind]}${content === "" ? "" : ` ${content}`}`;
}

/** Formats a hard state. */
export function describeHardState(hardState: HardState): string {
  const { term, votedFor, commitIndex } = hardState;
  return `Term:${term}${votedFor === 0 ? "" : ` Vote:${votedFor}`} Commit:${commitIndex}`;
}

/** Formats the leader and the role of a member. */
export function describeLeadership(leadership: Leadership): string {
  return `Lead:${leadership.leaderId} State:${ROLE_NAMES[leadership.role]}`;
}

/** Formats the position and the membership of a snapshot. */
export function describeSnapshot(snapshot: Snapshot): string {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = snapshot.membership;
  const list = (ids: readonly MemberId[]) => `[${ids.join(" ")}]`;
  const state =
    `Voters:${list(voters)} VotersOutgoing:${list(votersOutgoing)} Learners:${list(learners)} ` +
    `LearnersNext:${list(learnersNext)} AutoLeave:${autoLeave}`;
  return `Index:${snapshot.index} Term:${snapshot.term} ConfState:${state}`;
}

/** Formats a membership as upstream's tracker configuration. */
export function describeMembership(membership: Membership): string {
  const { learners, learnersNext, autoLeave } = membership;
  let text = `voters=${describeVoters(membership)}`;
  if (learners.length > 0) text += ` learners=${describeIds(learners)}`;
  if (learnersNext.length > 0) text += ` learners_next=${describeIds(learnersNext)}`;
  return autoLeave ? `${text} autoleave` : text;
}

/** Formats a leader's view of one member. */
export function describeProgress(status: ProgressStatus, isLearner: boolean): string {
  const name = { probe: "StateProbe", replicate: "StateReplicate", snapshot: "StateSnapshot" };
  const { state } = status;
  let text = `${name[state.kind]} match=${status.matchIndex} next=${status.nextIndex}`;
  if (isLearner) text += " learner";
  if (status.isThrottled) text += " paused";
  if (state.kind === "snapshot") text += ` pendingSnap=${state.pendingIndex}`;
  if (!status.isRecentlyActive) text += " inactive";
  if (status.inflightCount > 0) text += ` inflight=${status.inflightCount}`;
  return status.inflightCount > 0 && status.isInflightFull ? `${text}[full]` : text;
}

/** Formats one bar for each voter; a higher index has a longer bar. */
export function describeIndexes(
  voters: readonly MemberId[],
  indexOf: (id: MemberId) => LogIndex | undefined,
): string {
  const ids = sortedIds(voters);
  if (ids.length === 0) return "<empty majority quorum>";
  const indexes = ids.map((id) => indexOf(id) ?? 0);
  const rows = ids.map((id, position) => {
    const index = indexes[position] as number;
    const bar = indexes.filter((other) => other < index).length;
    const isKnown = indexOf(id) !== undefined;
    const mark = isKnown
      ? `${"x".repeat(bar)}>${" ".repeat(ids.length - bar)}`
      : `?${" ".repeat(ids.length)}`;
    return `${mark} ${String(index).padStart(5)}    (id=${hex(id)})\n`;
  });
  return `${" ".repeat(ids.length)}    idx\n${rows.join("")}`;
}

function describeReplies(replies: readonly Message[]): string {
  if (replies.length === 0) return "";
  const lines = replies.map((reply) => `\n${describeMessage(reply, "  ")}`);
  return ` Responses:[${lines.join("")}\n]`;
}

function describeLine(line: MessageLine, indent = ""): string {
  const { term = 0, logTerm = 0, logIndex = 0, commit = 0, vote = 0, entries = [] } = line;
  let text = `${indent}${line.from}->${line.to} ${line.name} Term:${term} Log:${logTerm}/${logIndex}`;
  if (line.rejected !== undefined) text += ` Rejected (Hint: ${line.rejected})`;
  if (commit !== 0) text += ` Commit:${commit}`;
  if (vote !== 0) text += ` Vote:${vote}`;
  const [first] = entries;
  if (entries.length === 1 && first !== undefined) text += ` Entries:[${describeEntry(first)}]`;
  if (entries.length > 1) {
    const lines = entries.map((entry) => `\n${indent}  ${describeEntry(entry)}`);
    text += ` Entries:[${lines.join("")}\n${indent}]`;
  }
  if (line.snapshot) text += `\n${indent}  Snapshot: ${describeSnapshot(line.snapshot)}`;
  return text;
}

function lineOf(message: Message): MessageLine {
  const name = MESSAGE_NAMES[message.kind];
  const to = hex(message.to);
  switch (message.kind) {
    case "storage-appended": {
      const { term, last, snapshot } = message;
      const log = { logTerm: last?.term ?? 0, logIndex: last?.index ?? 0 };
      return { from: "AppendThread", to, name, term, ...log, snapshot };
    }
    case "storage-applied":
      return { from: "ApplyThread", to, name, entries: message.entries };
    case "propose-request":
      return { from: hex(message.from), to, name, entries: message.proposals };
    case "read-index-request":
      return { from: hex(message.from), to, name };
    default:
      return { from: hex(message.from), to, name, term: message.term, ...fieldsOf(message) };
  }
}

type TermMessage = Exclude<PeerMessage, { kind: "propose-request" | "read-index-request" }>;

function fieldsOf(message: TermMessage): Partial<MessageLine> {
  switch (message.kind) {
    case "vote-request":
    case "pre-vote-request":
      return { logTerm: message.last.term, logIndex: message.last.index };
    case "vote-reply":
    case "pre-vote-reply":
      return message.granted ? {} : { rejected: 0 };
    case "append-request": {
      const { previous, commitIndex: commit, entries } = message;
      return { logTerm: previous.term, logIndex: previous.index, commit, entries };
    }
    case "append-accepted":
      return { logIndex: message.matchIndex };
    case "append-rejected": {
      const { rejectedIndex, hint } = message;
      return { logTerm: hint.term, logIndex: rejectedIndex, rejected: hint.index };
    }
    case "heartbeat-request":
      return { commit: message.commitIndex };
    case "snapshot-request":
      return { snapshot: message.snapshot };
    case "read-index-reply":
      return { logIndex: message.readIndex };
    case "heartbeat-reply":
    case "timeout-now":
    case "transfer-request":
      return {};
    default:
      return unreachable(message);
  }
}

function describeContent(entry: Entry | Proposal): string {
  if (entry.kind === "normal") return JSON.stringify(new TextDecoder().decode(entry.data));
  const change = decodeChange(entry);
  const operations = change.kind === "v1" ? [change.operation] : change.operations;
  return operations.map(describeOperation).join(" ");
}

function describeOperation(operation: ChangeOperation): string {
  return `${OPERATION_LETTERS[operation.kind]}${operation.memberId}`;
}

function describeVoters({ voters, votersOutgoing }: VoterSets): string {
  const incoming = describeIds(voters);
  return votersOutgoing.length === 0 ? incoming : `${incoming}&&${describeIds(votersOutgoing)}`;
}

function describeIds(ids: readonly MemberId[]): string {
  return `(${sortedIds(ids).map(hex).join(" ")})`;
}

function hex(id: number): string {
  return id === 0 ? "None" : id.toString(16);
}
