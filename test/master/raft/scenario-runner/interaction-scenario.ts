import type { MembershipChange, Transition } from "../../../../master/raft/membership-change.ts";
import type { Message, PeerMessage, Snapshot } from "../../../../master/raft/messages.ts";
import type { RaftSettings } from "../../../../master/raft/options.ts";
import { RAFT_DEFAULTS } from "../../../../master/raft/options.ts";
import type { ProposeResult } from "../../../../master/raft/propose.ts";
import { assert } from "../../../../shared/base/assert.ts";
import type { LogIndex, MemberId, Term } from "../../../../shared/base/ids.ts";
import {
  describeEntry,
  describeMessage,
  describeProgress,
  MESSAGE_NAMES,
  ROLE_NAMES,
} from "./describe.ts";
import type { Directive } from "./parse-scenario.ts";
import {
  argumentAt,
  firstId,
  firstValueOf,
  hasKey,
  idsOf,
  integerIn,
  isTrue,
  membersIn,
  parseOperations,
  toInteger,
} from "./scenario-arguments.ts";
import { EMPTY_SNAPSHOT, ScenarioMember } from "./scenario-member.ts";
import { ScenarioOutput } from "./scenario-output.ts";

const ELECTION_TICKS = 3;
const HEARTBEAT_TICKS = 1;

/** Selects messages that are in flight. */
interface Selection {
  readonly to: MemberId;
  readonly name: string | undefined;
  readonly isDropped: boolean;
}

type Handler = (directive: Directive) => void;

/**
 * A group of members that executes the directives of a scenario file step by step. Messages wait in
 * one queue until a directive delivers or drops them.
 */
export class InteractionScenario {
  readonly #members: ScenarioMember[] = [];
  readonly #output = new ScenarioOutput();
  #messages: Message[] = [];

  readonly #handlers: Readonly<Record<string, Handler>> = {
    "add-nodes": (directive) => this.#addNodes(directive),
    campaign: (directive) => this.#member(firstId(directive)).node.campaign(),
    compact: (directive) => this.#compact(directive),
    "deliver-msgs": (directive) => this.#deliverSelected(directive),
    "process-ready": (directive) =>
      this.#each(directive, "handling Ready", (id) => this.#processReady(id)),
    "process-append-thread": (directive) =>
      this.#each(directive, "processing append thread", (id) => this.#processAppend(id)),
    "process-apply-thread": (directive) =>
      this.#each(directive, "processing apply thread", (id) => this.#processApply(id)),
    "log-level": (directive) => this.#setLogLevel(argumentAt(directive, 0).key),
    "raft-log": (directive) => this.#printLog(firstId(directive)),
    "raft-state": () => this.#printRoles(),
    "set-randomized-election-timeout": (directive) => this.#setElectionTimeout(directive),
    stabilize: (directive) => this.#stabilizeWithLevel(directive),
    status: (directive) => this.#printProgress(firstId(directive)),
    // Not in upstream: `times` repeats the directive.
    "tick-election": (directive) =>
      this.#tick(firstId(directive), ELECTION_TICKS * (integerIn(directive, "times") ?? 1)),
    "tick-heartbeat": (directive) => this.#tick(firstId(directive), HEARTBEAT_TICKS),
    "transfer-leadership": (directive) => this.#transfer(directive),
    "forget-leader": (directive) => this.#member(firstId(directive)).node.forgetLeader(),
    "send-snapshot": (directive) => this.#sendSnapshot(directive),
    propose: (directive) => this.#propose(directive),
    "propose-conf-change": (directive) => this.#proposeChange(directive),
    "report-unreachable": (directive) => this.#reportUnreachable(directive),
    // Not in upstream, which has no directive for reads.
    "read-index": (directive) => this.#readIndex(firstId(directive)),
  };

  /** Executes `directive`. @returns its output, or "ok". */
  handle(directive: Directive): string {
    const handler = this.#handlers[directive.command];
    if (handler === undefined) return "unknown command";
    this.#output.clear();
    handler(directive);
    return this.#output.text === "" ? "ok" : this.#output.text;
  }

  #member(id: MemberId): ScenarioMember {
    const member = this.#members[id - 1];
    if (member === undefined) throw new Error(`No such member: ${id}`);
    return member;
  }

  #addNodes(directive: Directive): void {
    const count = toInteger(argumentAt(directive, 0).key);
    const settings = settingsOf(directive);
    const snapshot = snapshotOf(directive);
    const isAsync = isTrue(directive, "async-storage-writes");
    for (let added = 0; added < count; added += 1) {
      const id = (this.#members.length + 1) as MemberId;
      this.#members.push(new ScenarioMember({ id, settings, snapshot, isAsync }));
    }
  }

  #compact(directive: Directive): void {
    const id = firstId(directive);
    const index = toInteger(argumentAt(directive, 1).key) as LogIndex;
    this.#member(id).storage.compact(index);
    this.#printLog(id);
  }

  /** Processes one Ready, or one item of a queue, for each named member. */
  #each(directive: Directive, title: string, process: (id: MemberId) => void): void {
    const ids = idsOf(directive);
    const [only] = ids;
    if (ids.length === 1 && only !== undefined) {
      process(only);
      return;
    }
    for (const id of ids) {
      this.#output.line(`> ${id} ${title}`);
      this.#output.indented(() => process(id));
    }
  }

  #processReady(id: MemberId): void {
    this.#messages.push(...this.#member(id).processReady(this.#output));
  }

  #processAppend(id: MemberId): void {
    this.#messages.push(...this.#member(id).processAppend(this.#output));
  }

  #processApply(id: MemberId): void {
    this.#messages.push(...this.#member(id).processApply(this.#output));
  }

  #deliverSelected(directive: Directive): void {
    const name = firstValueOf(directive, "type");
    const delivered = idsOf(directive).map((to) => ({ to, name, isDropped: false }));
    const dropped = membersIn(directive, "drop").map((to) => ({ to, name, isDropped: true }));
    let count = 0;
    for (const selection of [...delivered, ...dropped]) count += this.#deliver(selection);
    if (count === 0) this.#output.line("no messages");
  }

  #deliver(selection: Selection): number {
    const { selected, rest } = this.#select(selection);
    this.#messages = rest;
    for (const message of selected) {
      if (selection.isDropped) {
        this.#output.line(`dropped: ${describeMessage(message)}`);
        continue;
      }
      this.#output.line(describeMessage(message));
      const result = this.#member(message.to).node.step(message);
      if (result === "unknown-peer") {
        this.#output.line("raft: cannot step as peer not found");
      }
    }
    return selected.length;
  }

  #select({ to, name, isDropped }: Selection): { selected: Message[]; rest: Message[] } {
    const selected: Message[] = [];
    const rest: Message[] = [];
    for (const message of this.#messages) {
      const isWanted = name === undefined || MESSAGE_NAMES[message.kind] === name;
      const isKept = isDropped && isLocal(message);
      (message.to === to && isWanted && !isKept ? selected : rest).push(message);
    }
    return { selected, rest };
  }

  #stabilizeWithLevel(directive: Directive): void {
    const wasQuiet = this.#output.isQuiet;
    const level = firstValueOf(directive, "log-level");
    if (level !== undefined) this.#setLogLevel(level);
    const ids = idsOf(directive);
    const members = ids.length === 0 ? this.#members : ids.map((id) => this.#member(id));
    while (this.#stabilizeOnce(members));
    this.#output.isQuiet = wasQuiet;
  }

  /** Processes all pending work once. @returns whether there was any. */
  #stabilizeOnce(members: readonly ScenarioMember[]): boolean {
    let isDone = true;
    const run = (member: ScenarioMember, title: string, body: () => void) => {
      this.#output.line(`> ${member.id} ${title}`);
      body();
      isDone = false;
    };
    const indented = (body: () => void) => () => this.#output.indented(body);
    for (const member of members) {
      if (!member.node.hasReady()) continue;
      run(
        member,
        "handling Ready",
        indented(() => this.#processReady(member.id)),
      );
    }
    for (const member of members) {
      const selection = { to: member.id, name: undefined, isDropped: false };
      if (this.#select(selection).selected.length === 0) continue;
      run(
        member,
        "receiving messages",
        indented(() => this.#deliver(selection)),
      );
    }
    for (const member of members) {
      if (member.appendQueue.length === 0) continue;
      run(member, "processing append thread", () => {
        while (member.appendQueue.length > 0) indented(() => this.#processAppend(member.id))();
      });
    }
    for (const member of members) {
      if (member.applyQueue.length === 0) continue;
      run(member, "processing apply thread", () => {
        while (member.applyQueue.length > 0) indented(() => this.#processApply(member.id))();
      });
    }
    return !isDone;
  }

  /** Sets the log level. This core writes no log lines: all levels except "none" are equivalent. */
  #setLogLevel(level: string): void {
    this.#output.isQuiet = level.toLowerCase() === "none";
  }

  #printLog(id: MemberId): void {
    const { storage } = this.#member(id);
    const fromIndex = storage.firstIndex();
    const lastIndex = storage.lastIndex();
    if (lastIndex < fromIndex) {
      this.#output.write(`log is empty: first index=${fromIndex}, last index=${lastIndex}`);
      return;
    }
    const toIndex = (lastIndex + 1) as LogIndex;
    const result = storage.entries({ fromIndex, toIndex }, Number.POSITIVE_INFINITY);
    assert(result.kind === "entries", "all entries from the first one on are in memory");
    for (const entry of result.entries) this.#output.line(describeEntry(entry));
  }

  #printRoles(): void {
    for (const { node } of this.#members) {
      const { id, role, term, leaderId, membership } = node.status();
      const voters = [...membership.voters, ...membership.votersOutgoing];
      const kind = voters.includes(id) ? "(Voter)" : "(Non-Voter)";
      this.#output.line(`${id}: ${ROLE_NAMES[role]} ${kind} Term:${term} Lead:${leaderId}`);
    }
  }

  #printProgress(id: MemberId): void {
    const { progress, membership } = this.#member(id).node.status();
    for (const status of progress) {
      const isLearner = membership.learners.includes(status.id);
      this.#output.line(`${status.id}: ${describeProgress(status, isLearner)}`);
    }
  }

  #setElectionTimeout(directive: Directive): void {
    const timeoutTicks = integerIn(directive, "timeout");
    assert(timeoutTicks !== undefined, "a timeout is given");
    this.#member(firstId(directive)).core.electionTimeoutTicks = timeoutTicks;
  }

  #tick(id: MemberId, count: number): void {
    for (let ticks = 0; ticks < count; ticks += 1) this.#member(id).node.tick();
  }

  #transfer(directive: Directive): void {
    const [from] = membersIn(directive, "from");
    const [to] = membersIn(directive, "to");
    assert(from !== undefined && to !== undefined, "both sides of the transfer are given");
    this.#member(from).node.transferLeadership(to);
  }

  #sendSnapshot(directive: Directive): void {
    const [from, to] = idsOf(directive);
    assert(from !== undefined && to !== undefined, "both sides of the snapshot are given");
    const { node, latestSnapshot: snapshot } = this.#member(from);
    const { term } = node.status();
    const message: PeerMessage = { kind: "snapshot-request", from, to, term, snapshot };
    this.#messages.push(message);
    this.#output.write(describeMessage(message));
  }

  #propose(directive: Directive): void {
    const payload = new TextEncoder().encode(argumentAt(directive, 1).key);
    this.#printRefusal(this.#member(firstId(directive)).node.propose([payload]));
  }

  #proposeChange(directive: Directive): void {
    const { node } = this.#member(firstId(directive));
    this.#printRefusal(node.proposeChange(changeOf(directive)));
  }

  /** Prints a refusal. Omits a change that is not allowed, because upstream only logs it. */
  #printRefusal(result: ProposeResult): void {
    if (result.kind !== "refused" || result.reason === "change-not-allowed") return;
    this.#output.write("raft proposal dropped");
  }

  #reportUnreachable(directive: Directive): void {
    const [from, peer] = idsOf(directive);
    assert(from !== undefined && peer !== undefined, "both sides are given");
    this.#member(from).node.reportUnreachable(peer);
  }

  #readIndex(id: MemberId): void {
    const result = this.#member(id).node.readIndex();
    if (result.kind === "refused") this.#output.write(`refused: ${result.reason}`);
  }
}

/** Returns upstream's settings: features off and no limits, except those of the directive. */
function settingsOf(directive: Directive): RaftSettings {
  return {
    ...RAFT_DEFAULTS,
    electionTicks: ELECTION_TICKS,
    heartbeatTicks: HEARTBEAT_TICKS,
    preVote: isTrue(directive, "prevote"),
    checkQuorum: isTrue(directive, "checkquorum"),
    stepDownOnRemoval: isTrue(directive, "step-down-on-removal"),
    settleChanges: isTrue(directive, "settle-changes"),
    forwardProposals: true,
    validateChanges: !isTrue(directive, "disable-conf-change-validation"),
    readMode: firstValueOf(directive, "read-only") === "lease-based" ? "lease" : "quorum",
    messageBytesMax: Number.POSITIVE_INFINITY,
    applyingBytesMax:
      integerIn(directive, "max-committed-size-per-ready") ?? Number.POSITIVE_INFINITY,
    uncommittedBytesMax: integerIn(directive, "max-uncommitted") ?? Number.POSITIVE_INFINITY,
    inflightMessagesMax: integerIn(directive, "inflight") ?? 2 ** 31 - 1,
    inflightBytesMax: Number.POSITIVE_INFINITY,
  };
}

function snapshotOf(directive: Directive): Snapshot {
  if (!hasKey(directive, "index")) return EMPTY_SNAPSHOT;
  return {
    index: integerIn(directive, "index") as LogIndex,
    term: 1 as Term,
    membership: {
      ...EMPTY_SNAPSHOT.membership,
      voters: membersIn(directive, "voters"),
      learners: membersIn(directive, "learners"),
    },
    data: new TextEncoder().encode(firstValueOf(directive, "content") ?? ""),
  };
}

function changeOf(directive: Directive): MembershipChange {
  const context = new Uint8Array(0);
  const operations = parseOperations(directive.input);
  if (isTrue(directive, "v1")) {
    const [operation] = operations;
    assert(operation !== undefined && operations.length === 1, "a v1 change has one operation");
    return { kind: "v1", operation, context };
  }
  const transition = (firstValueOf(directive, "transition") ?? "auto") as Transition;
  return { kind: "v2", transition, operations, context };
}

/**
 * Returns whether the message is from a queue of the member itself. Such messages are never lost.
 */
function isLocal(message: Message): boolean {
  return !("from" in message) || message.from === message.to;
}
