import { inCluster, inRaft, inTest, type Mutant } from "./mutant.ts";

/** Bugs of the Raft core. */
export const RAFT_MUTANTS: readonly Mutant[] = [
  {
    name: "vote-twice",
    bug: "A member votes for every candidate of a term",
    breaks: "Raft §5.2",
    edits: [
      {
        file: "master/raft/election.ts",
        find: "return core.votedFor === NO_MEMBER && leaderIdOf(core) === NO_MEMBER;",
        replace: "return leaderIdOf(core) === NO_MEMBER;",
      },
    ],
    caughtBy: inRaft(20),
  },
  {
    name: "vote-for-a-shorter-log",
    bug: "A member votes for a candidate whose log ends before its own",
    breaks: "Raft §5.4.1",
    edits: [
      {
        file: "master/raft/log.ts",
        find: "return theirs.index >= ours.index;",
        replace: "return true;",
      },
    ],
    caughtBy: inRaft(40),
  },
  {
    name: "vote-before-it-is-durable",
    bug: "A vote leaves before the write that remembers it",
    breaks: "Raft, Figure 2",
    edits: [
      {
        file: "master/raft/election.ts",
        find: 'sendAfterAppend(core, { kind: "vote-reply", from, to: message.from, term, granted });',
        replace: 'send(core, { kind: "vote-reply", from, to: message.from, term, granted });',
      },
    ],
    caughtBy: inRaft(20),
  },
  {
    name: "commit-older-term",
    bug: "A leader commits an entry of an older term by counting its copies",
    breaks: "Raft §5.4.2",
    edits: [
      {
        file: "master/raft/log.ts",
        find: "if (index <= this.#committedIndex || !this.matches({ index, term })) return false;",
        replace: "if (index <= this.#committedIndex) return false;",
      },
    ],
    caughtBy: inRaft(20),
  },
  {
    name: "acknowledge-before-writing",
    bug: "A follower acknowledges entries that it has not written",
    breaks: "Raft §5.3",
    edits: [
      {
        file: "master/raft/follow.ts",
        find: `log.commitTo(minIndex(commitIndex, matchIndex));
    sendAfterAppend(`,
        replace: `log.commitTo(minIndex(commitIndex, matchIndex));
    send(`,
      },
    ],
    caughtBy: inRaft(20),
  },
  {
    name: "leader-counts-itself-early",
    bug: "A leader counts its own copy of an entry before it is on its disk",
    breaks: "Raft thesis §10.2.1",
    edits: [
      {
        file: "master/raft/replication.ts",
        find: 'sendAfterAppend(core, { kind: "append-accepted", from: id, to: id, term, matchIndex });',
        replace: "leader.progress.get(id)?.acknowledge(matchIndex);",
      },
    ],
    caughtBy: inRaft(20),
  },
  {
    name: "learner-counts",
    bug: "A leader counts the copies of learners as if they had a vote",
    breaks: "Raft thesis §4.2.1",
    edits: [
      {
        file: "master/raft/replication.ts",
        find: "const index = quorumIndex(core.membership, (id) =>",
        replace: `const voters = [...leader.progress.keys()];
  const index = quorumIndex({ voters, votersOutgoing: [] }, (id) =>`,
      },
    ],
    caughtBy: inRaft(40),
  },
  {
    name: "removed-voter-counts",
    bug: "A member that is removed keeps its vote",
    breaks: "Raft §6",
    edits: [
      {
        file: "master/raft/membership.ts",
        find: `    case "remove":
      removeMember(draft, memberId);`,
        replace: `    case "remove":
      if (!draft.voters.has(memberId)) removeMember(draft, memberId);`,
      },
    ],
    caughtBy: inRaft(40),
  },
  {
    name: "one-majority-is-enough",
    bug: "In a joint configuration either majority commits, not both",
    breaks: "Raft §6",
    edits: [
      {
        file: "master/raft/quorum.ts",
        find: "return minIndex(incomingIndex, outgoingIndex);",
        replace:
          "return votersOutgoing.length === 0 ? incomingIndex : (Math.max(incomingIndex, outgoingIndex) as LogIndex);",
      },
    ],
    caughtBy: inRaft(40),
  },
  {
    name: "two-changes-at-once",
    bug: "A leader proposes a membership change while another is not committed",
    breaks: "Raft thesis §4.1",
    edits: [
      {
        file: "master/raft/propose.ts",
        find: "if (leader.pendingChangeIndex > core.log.appliedIndex) return false;",
        replace: "",
      },
    ],
    caughtBy: inRaft(40),
  },
  {
    name: "append-without-a-look-back",
    bug: "A follower takes entries without looking at the one before them",
    breaks: "Raft §5.3, Log Matching",
    edits: [
      {
        file: "master/raft/log.ts",
        find: "if (!this.matches(previous)) return null;",
        replace: "if (previous.index > this.lastIndex()) return null;",
      },
    ],
    caughtBy: inTest("test/master/raft/log.test.ts"),
  },
  {
    name: "cut-what-matches",
    bug: "An old request cuts entries off that came after it and were acknowledged",
    breaks: "Raft §5.3",
    edits: [
      {
        file: "master/raft/log.ts",
        find: "entries.findIndex((entry) => !this.matches(entry))",
        replace: "entries.length === 0 ? -1 : 0",
      },
    ],
    caughtBy: inRaft(40),
  },
  {
    name: "cut-what-is-committed",
    bug: "A conflict cuts the log before its commit index, unnoticed",
    breaks: "Raft, Figure 3: State Machine Safety",
    edits: [
      {
        file: "master/raft/follow.ts",
        find: "if (previous.index < log.committedIndex) {",
        replace: "if (previous.index < log.appliedIndex) {",
      },
      {
        file: "master/raft/log.ts",
        find: "entries.findIndex((entry) => !this.matches(entry))",
        replace: "entries.length === 0 ? -1 : 0",
      },
      {
        file: "master/raft/log.ts",
        find: 'assert(first.index > this.#committedIndex, "a committed entry is never overwritten");',
        replace: "",
      },
    ],
    caughtBy: inRaft(40),
  },
  {
    name: "commit-index-goes-back",
    bug: "A late message takes the commit index back",
    breaks: "Raft, Figure 2: increases monotonically",
    edits: [
      {
        file: "master/raft/log.ts",
        find: "if (index <= this.#committedIndex) return;",
        replace: "if (index === this.#committedIndex) return;",
      },
    ],
    caughtBy: inRaft(20),
  },
  {
    name: "heartbeat-commits-too-much",
    bug: "A heartbeat commits entries that the follower is not known to share",
    breaks: "Raft §5.3",
    edits: [
      {
        file: "master/raft/send-log.ts",
        find: `// At most the matching index: after it, the entries of the member may differ.
    const commitIndex = minIndex(progress.matchIndex, core.log.committedIndex);`,
        replace: "const commitIndex = core.log.committedIndex;",
      },
    ],
    caughtBy: inRaft(20),
  },
  {
    name: "no-stepping-down",
    bug: "A leader pays no attention to messages of later terms",
    breaks: "Raft §5.1",
    edits: [
      {
        file: "master/raft/step.ts",
        find: "if (message.term > core.term && !acceptLaterTerm(core, message)) return;",
        replace: `if (message.term > core.term && core.role.kind === "leader") return;
  if (message.term > core.term && !acceptLaterTerm(core, message)) return;`,
      },
    ],
    caughtBy: inRaft(20),
  },
  {
    name: "read-without-a-round",
    bug: "A leader answers reads without asking whether it still leads",
    breaks: "Raft §8, thesis §6.4",
    edits: [
      {
        file: "master/raft/read-index.ts",
        find: 'if (core.options.readMode === "lease" || isOnlyVoter(core)) {',
        replace: "if (core.id > 0) {",
      },
    ],
    caughtBy: inRaft(20),
  },
  {
    name: "stale-read-for-a-client",
    bug: "A leader answers reads without asking whether it still leads, and clients are told",
    breaks: "Raft §8, thesis §6.4; G2",
    edits: [
      {
        file: "master/raft/read-index.ts",
        find: 'if (core.options.readMode === "lease" || isOnlyVoter(core)) {',
        replace: "if (core.id > 0) {",
      },
    ],
    caughtBy: inCluster(20),
  },
  {
    name: "read-by-an-older-round",
    bug: "An answer to a heartbeat from before the read confirms the read",
    breaks: "Raft thesis §6.4",
    edits: [
      {
        file: "master/raft/read-index.ts",
        find: "if (answer.readSequence === 0) return;",
        replace: "",
      },
      {
        file: "master/raft/read-index.ts",
        find: "leader.reads.acknowledge(answer.from, answer.readSequence);",
        replace: "leader.reads.acknowledge(answer.from, leader.reads.sequence);",
      },
    ],
    caughtBy: inRaft(40),
  },
  {
    name: "read-before-the-first-entry",
    bug: "A new leader serves reads before an entry of its term is committed",
    breaks: "Raft §8",
    edits: [
      {
        file: "master/raft/read-index.ts",
        find: "if (hasCommittedInTerm(core)) confirmRead(core, leader, request);",
        replace: "if (core.log.committedIndex > 0) confirmRead(core, leader, request);",
      },
    ],
    caughtBy: inRaft(40),
  },
  {
    name: "pre-vote-in-a-lease",
    bug: "A member that hears its leader grants pre-votes all the same",
    breaks: "Raft thesis §4.2.3, §9.6",
    edits: [
      {
        file: "master/raft/step.ts",
        find: "return !isLeaderLeaseValid(core);",
        replace: "return true;",
      },
    ],
    caughtBy: inTest("test/master/raft/election.test.ts"),
  },
  {
    name: "pre-vote-without-asking",
    bug: "A member that was cut off begins a term without asking who would vote for it",
    breaks: "Raft thesis §9.6",
    edits: [
      {
        file: "master/raft/election.ts",
        find: 'if (reason === "timeout" && core.options.preVote) startPreVote(core);',
        replace:
          'if (reason === "timeout" && core.options.electionTicks === 0) startPreVote(core);',
      },
    ],
    caughtBy: inTest("test/master/raft/election.test.ts"),
  },
];
