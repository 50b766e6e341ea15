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

/** A property of Raft (Raft, Figure 3) does not hold. */
export class RaftViolation extends Error {
  override readonly name = "RaftViolation";
}

/** What all logs agree on at a position. */
interface KnownEntry {
  readonly content: string;
  readonly previousTerm: Term | null;
}

/** Watches all members at once, and remembers everything that may never change. */
export class RaftChecks {
  readonly #members: ReadonlyMap<MemberId, SimulatedMember>;
  readonly #leaderOfTerm = new Map<Term, MemberId>();
  /** By term and voter, as far as other members could learn of it. */
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

  /** After anything happened to `member`. */
  stepped(member: SimulatedMember): void {
    const { core } = member;
    if (core.role.kind === "leader") this.#checkLeader(core);
    this.#checkCommitted(member, core);
  }

  /** Log Matching: one index and one term stand for one entry, and for all before it. */
  appending(member: SimulatedMember, append: StorageAppend): void {
    for (const entry of append.entries) {
      const previousTerm = member.core.log.term((entry.index - 1) as LogIndex);
      this.#checkEntry(entry, previousTerm);
      if (entry.kind !== "normal") this.#checkOnlyChange(member.core, entry.index);
    }
  }

  /** One vote a term: what a voter has given it never takes back. */
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

  /** Raft, Figure 2: a vote leaves its voter only behind the write that remembers it. */
  sent(message: PeerMessage): void {
    if (message.kind !== "vote-reply" || !message.granted) return;
    if (this.#votes.get(`${message.term} ${message.from}`) !== message.to) {
      throw new RaftViolation(`${message.from} gives a vote that is not durable`);
    }
  }

  /** State Machine Safety: all members pass through the same states. */
  applied(member: SimulatedMember, entry: Entry, state: State): void {
    if (!member.holdsDurably(entry.index, entry.term)) {
      throw new RaftViolation(`${member.id} applies ${entry.index}, which is not in its own log`);
    }
    this.#checkEntry(entry, null);
    this.#checkState(state);
    if (entry.kind !== "normal") this.#memberships.apply(entry);
    this.#checkMembership(member, state.index);
  }

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

  /** The quorum that elected the leader spoke to it, each voter once. */
  #checkElected(core: Core): void {
    const { id, term, membership } = core;
    const hasVoted = (voter: MemberId) => this.#votes.get(`${term} ${voter}`) === id;
    if (!isQuorum(membership, hasVoted)) {
      const voters = [...this.#members.keys()].filter(hasVoted);
      throw new RaftViolation(`${id} leads in term ${term} with the votes of ${voters} only`);
    }
  }

  /**
   * Leader Completeness: what was committed in earlier terms is in the log of every later leader.
   * Votes may be so late that terms after this one have begun: what those commit does not count.
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

  /** Leader Append-Only: nothing is taken out of a leader's log or changed in it. */
  #checkAppendOnly(core: Core): void {
    const { id, term, log } = core;
    const before = this.#leaderLogs.get(id);
    const lastIndex = log.lastIndex();
    if (before?.core === core && before.term === term && lastIndex < before.lastIndex) {
      throw new RaftViolation(`Leader Append-Only: ${id} cut its log in term ${term}`);
    }
    this.#leaderLogs.set(id, { core, term, lastIndex });
  }

  #checkCommitted(member: SimulatedMember, core: Core): void {
    const { log } = core;
    const known = this.#committedBy.get(member);
    const before = known?.core === core ? known.index : log.appliedIndex;
    const { committedIndex } = log;
    if (known?.core === core && committedIndex < before) {
      throw new RaftViolation(`${core.id} took back its commit index ${before}`);
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
    if (term === null) return; // Compacted, or within a snapshot: somebody else has committed it.
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

  /** What a leader calls committed is on the disks of a quorum at that moment. */
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

  /** Raft §6: all members change the membership at the same entries, in the same way. */
  #checkMembership({ core, membership }: SimulatedMember, index: LogIndex): void {
    const expected = describe(this.#memberships.at(index));
    const isReplaced = core.log.unstable.snapshot !== null;
    const current = isReplaced ? expected : describe(core.membership);
    if (describe(membership) === expected && current === expected) return;
    throw new RaftViolation(
      `Membership: ${core.id} counts on ${current} after ${index}, which makes it ${expected}`,
    );
  }

  /** Thesis §4.1: a change is proposed only when the one before it is committed. */
  #checkOnlyChange(core: Core, index: LogIndex): void {
    for (let other = this.committedIndex + 1; other < index; other += 1) {
      const known = this.#entries.get(`${other} ${core.log.term(other as LogIndex)}`);
      if (known === undefined || known.content.startsWith("normal")) continue;
      throw new RaftViolation(`${core.id} changes members at ${other} and ${index}, both open`);
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

/** Not the core's own arithmetic: that is what is on trial. */
function isQuorum(sets: VoterSets, isCounted: (id: MemberId) => boolean): boolean {
  const isMajority = (voters: readonly MemberId[]) =>
    voters.length === 0 || voters.filter(isCounted).length * 2 > voters.length;
  return isMajority(sets.voters) && isMajority(sets.votersOutgoing);
}
