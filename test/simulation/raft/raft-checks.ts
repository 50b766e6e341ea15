import type { Core } from "../../../master/raft/core.ts";
import type {
  Entry,
  Membership,
  PeerMessage,
  Snapshot,
  StorageAppend,
} from "../../../master/raft/messages.ts";
import type { VoterSets } from "../../../master/raft/quorum.ts";
import type { LogIndex, MemberId, Term } from "../../../shared/base/ids.ts";
import { MembershipOracle } from "./membership-oracle.ts";
import type { SimulatedMember, State } from "./simulated-member.ts";

/** Violation of a safety property of Raft (Raft, Figure 3). */
export class RaftViolation extends Error {
  override readonly name = "RaftViolation";
}

/** Content of an entry, equal in all logs. */
interface KnownEntry {
  readonly content: string;
  readonly previousTerm: Term | null;
}

/** Observes all members, and records everything that must never change. */
export class RaftChecks {
  readonly #members: ReadonlyMap<MemberId, SimulatedMember>;
  readonly #leaderOfTerm = new Map<Term, MemberId>();
  /** Votes that have left their voter, by term and voter. */
  readonly #votes = new Map<string, MemberId>();
  /** By index and term. */
  readonly #entries = new Map<string, KnownEntry>();
  /** The term of the entry, and that of the leader who committed it. */
  readonly #committed = new Map<LogIndex, { readonly term: Term; readonly byTerm: Term }>();
  readonly #committedBy = new Map<SimulatedMember, { core: Core; index: LogIndex }>();
  readonly #leaderLogs = new Map<MemberId, { core: Core; term: Term; lastIndex: LogIndex }>();
  readonly #appliedHashes = new Map<LogIndex, number>();
  readonly #memberships: MembershipOracle;
  /** The highest index that any member knows to be committed. */
  committedIndex = 0 as LogIndex;
  electionCount = 0;

  constructor(members: ReadonlyMap<MemberId, SimulatedMember>, founding: Snapshot) {
    this.#members = members;
    this.#memberships = new MembershipOracle(founding);
  }

  /** Checks a member after each of its steps. */
  stepped(member: SimulatedMember): void {
    const { core } = member;
    if (core.role.kind === "leader") this.#checkLeader(core);
    this.#checkCommitted(member, core);
  }

  /** Log Matching: entries with equal index and term are equal, with all entries before them. */
  appending(member: SimulatedMember, append: StorageAppend): void {
    for (const entry of append.entries) {
      const previousTerm = member.core.log.term((entry.index - 1) as LogIndex);
      this.#checkEntry(entry, previousTerm);
      if (entry.kind !== "normal") this.#checkOnlyChange(member.core, entry.index);
    }
  }

  /** One vote for each term: a voter never changes its vote. */
  replyReleased(message: PeerMessage): void {
    if (message.kind !== "vote-reply" || !message.granted) return;
    const { from: voter, term, to: candidate } = message;
    const key = `${term} ${voter}`;
    const known = this.#votes.get(key);
    if (known !== undefined && known !== candidate) {
      throw new RaftViolation(`${voter} votes for ${known} and ${candidate} in term ${term}`);
    }
    this.#votes.set(key, candidate);
  }

  /** Raft, Figure 2: a voter sends its vote only after the vote is durable. */
  sent(message: PeerMessage): void {
    if (message.kind !== "vote-reply" || !message.granted) return;
    if (this.#votes.get(`${message.term} ${message.from}`) !== message.to) {
      throw new RaftViolation(`${message.from} sends a vote that is not durable`);
    }
  }

  /** State Machine Safety: all members have equal states at equal indexes. */
  applied(member: SimulatedMember, entry: Entry, state: State): void {
    if (!member.holdsDurably(entry.index, entry.term)) {
      throw new RaftViolation(`${member.id} applies ${entry.index}, which is not in its own log`);
    }
    this.#checkEntry(entry, null);
    this.#checkState(state);
    if (entry.kind !== "normal") this.#memberships.apply(entry);
    this.#checkMembership(member, state.index);
  }

  /** State Machine Safety, after a snapshot was installed. */
  installed(member: SimulatedMember, state: State): void {
    this.#checkState(state);
    this.#checkMembership(member, state.index);
  }

  #checkLeader(core: Core): void {
    const { id, term } = core;
    const known = this.#leaderOfTerm.get(term);
    if (known === undefined) {
      this.#leaderOfTerm.set(term, id);
      this.electionCount += 1;
      this.#checkElected(core);
      this.#checkComplete(core);
    } else if (known !== id) {
      throw new RaftViolation(`Election Safety: ${known} and ${id} lead in term ${term}`);
    }
    this.#checkAppendOnly(core);
  }

  /** A quorum of the leader's membership has voted for it. */
  #checkElected(core: Core): void {
    const { id, term, membership } = core;
    const hasVoted = (voter: MemberId) => this.#votes.get(`${term} ${voter}`) === id;
    if (!isQuorum(membership, hasVoted)) {
      const voters = [...this.#members.keys()].filter(hasVoted);
      throw new RaftViolation(`${id} leads in term ${term} with the votes of ${voters} only`);
    }
  }

  /**
   * Leader Completeness: entries committed in earlier terms are in the log of every later leader.
   * Votes may arrive after later terms have started: entries committed in those terms are not
   * required.
   */
  #checkComplete(core: Core): void {
    const fromIndex = core.log.firstIndex() - 1;
    for (const [index, { term, byTerm }] of this.#committed) {
      if (byTerm >= core.term) continue;
      if (index < fromIndex || core.log.term(index) === term) continue;
      throw new RaftViolation(
        `Leader Completeness: ${core.id}, elected in term ${core.term}, lacks ${term}/${index}`,
      );
    }
  }

  /** Leader Append-Only: a leader never truncates or overwrites its log. */
  #checkAppendOnly(core: Core): void {
    const { id, term, log } = core;
    const before = this.#leaderLogs.get(id);
    const lastIndex = log.lastIndex();
    if (before?.core === core && before.term === term && lastIndex < before.lastIndex) {
      throw new RaftViolation(`Leader Append-Only: ${id} truncated its log in term ${term}`);
    }
    this.#leaderLogs.set(id, { core, term, lastIndex });
  }

  /** The commit index never decreases, and a leader commits only with an entry of its own term. */
  #checkCommitted(member: SimulatedMember, core: Core): void {
    const { log } = core;
    const known = this.#committedBy.get(member);
    const before = known?.core === core ? known.index : log.appliedIndex;
    const { committedIndex } = log;
    if (known?.core === core && committedIndex < before) {
      throw new RaftViolation(`${core.id} decreased its commit index ${before}`);
    }
    this.#committedBy.set(member, { core, index: committedIndex });
    // Raft §5.4.2: a leader counts copies only of entries of its own term.
    const isLeading = core.role.kind === "leader" && committedIndex > before;
    if (isLeading && known?.core === core && log.term(committedIndex) !== core.term) {
      throw new RaftViolation(`${core.id} commits ${committedIndex}, which is of an earlier term`);
    }
    for (let index = before + 1; index <= committedIndex; index += 1) {
      this.#commit(core, index as LogIndex);
    }
  }

  #commit(core: Core, index: LogIndex): void {
    const term = core.log.term(index);
    if (term === null) return; // Compacted or in a snapshot: another member has committed it.
    const known = this.#committed.get(index);
    if (known !== undefined && known.term !== term) {
      throw new RaftViolation(
        `${core.id} commits ${term}/${index}, where ${known.term} was committed`,
      );
    }
    if (known === undefined) {
      if (core.role.kind === "leader") this.#checkDurable(core, index, term);
      this.#committed.set(index, { term, byTerm: core.term });
    }
    if (index > this.committedIndex) this.committedIndex = index;
  }

  /** An entry that a leader commits is durable on a quorum at that time. */
  #checkDurable(core: Core, index: LogIndex, term: Term): void {
    const holds = (id: MemberId) => this.#members.get(id)?.holdsDurably(index, term) === true;
    if (!isQuorum(core.membership, holds)) {
      const holders = [...this.#members.keys()].filter(holds);
      throw new RaftViolation(
        `${core.id} commits ${term}/${index}, which is durable on ${holders} only`,
      );
    }
  }

  #checkEntry(entry: Entry, previousTerm: Term | null): void {
    const key = `${entry.index} ${entry.term}`;
    const content = `${entry.kind} ${String.fromCharCode(...entry.data)}`;
    const known = this.#entries.get(key);
    if (known === undefined) {
      this.#entries.set(key, { content, previousTerm });
      return;
    }
    if (known.content !== content) {
      throw new RaftViolation(`Log Matching: two entries at ${entry.term}/${entry.index}`);
    }
    if (previousTerm === null) return;
    if (known.previousTerm === null) this.#entries.set(key, { content, previousTerm });
    else if (known.previousTerm !== previousTerm) {
      throw new RaftViolation(`Log Matching: the logs differ before ${entry.term}/${entry.index}`);
    }
  }

  /** Raft §6: all members have the expected membership after each applied entry. */
  #checkMembership({ core, membership }: SimulatedMember, index: LogIndex): void {
    const expected = describe(this.#memberships.at(index));
    const isReplaced = core.log.unstable.snapshot !== null;
    const current = isReplaced ? expected : describe(core.membership);
    if (describe(membership) === expected && current === expected) return;
    throw new RaftViolation(
      `Membership: ${core.id} uses ${current} after index ${index}, expected ${expected}`,
    );
  }

  /** Thesis §4.1: a change is proposed only after the previous one is committed. */
  #checkOnlyChange(core: Core, index: LogIndex): void {
    for (let other = this.committedIndex + 1; other < index; other += 1) {
      const known = this.#entries.get(`${other} ${core.log.term(other as LogIndex)}`);
      if (known === undefined || known.content.startsWith("normal")) continue;
      throw new RaftViolation(`${core.id} changes members at ${other} and ${index}, both pending`);
    }
  }

  #checkState({ index, hash }: State): void {
    const known = this.#appliedHashes.get(index);
    if (known !== undefined && known !== hash) {
      throw new RaftViolation(`State Machine Safety: two states at index ${index}`);
    }
    this.#appliedHashes.set(index, hash);
  }
}

function describe({ voters, votersOutgoing, learners, learnersNext }: Membership): string {
  return `${voters} & ${votersOutgoing}, learners ${learners} & ${learnersNext}`;
}

/** Whether the counted members are a quorum. Does not use the core, which is under test. */
function isQuorum(sets: VoterSets, isCounted: (id: MemberId) => boolean): boolean {
  const isMajority = (voters: readonly MemberId[]) =>
    voters.length === 0 || voters.filter(isCounted).length * 2 > voters.length;
  return isMajority(sets.voters) && isMajority(sets.votersOutgoing);
}
