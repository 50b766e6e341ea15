import { inCluster, inRaft, inTest, type Mutant } from "./mutant.ts";

/** Bugs of the Raft core (`master/raft`). */
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
    name: "vote-for-shorter-log",
    bug: "A member votes for a candidate whose log is shorter than its own",
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
    name: "send-vote-before-sync",
    bug: "A member sends its vote before the vote is written to disk",
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
    name: "acknowledge-before-write",
    bug: "A follower acknowledges entries before they are written",
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
    name: "leader-counts-unsynced-entry",
    bug: "A leader counts its own copy of an entry before the entry is on its disk",
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
    name: "learner-counts-for-commit",
    bug: "A leader counts the copies of learners for the commit index as if they were voters",
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
    name: "removed-voter-keeps-vote",
    bug: "A removed member keeps its vote",
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
    name: "joint-commit-by-one-majority",
    bug: "In a joint configuration one of the two majorities is enough to commit",
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
    name: "concurrent-membership-changes",
    bug: "A leader proposes a membership change while another one is not committed",
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
    name: "append-without-previous-check",
    bug: "A follower appends entries without checking the term of the previous entry",
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
    name: "truncate-matching-entries",
    bug: "An old append request truncates later entries that match and were acknowledged",
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
    name: "truncate-committed-entries",
    bug: "A conflict truncates the log before its commit index without an error",
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
    name: "commit-index-decreases",
    bug: "A delayed message decreases the commit index",
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
    name: "heartbeat-commits-unmatched",
    bug: "A heartbeat commits entries beyond the matching index of the follower",
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
    name: "leader-ignores-later-terms",
    bug: "A leader ignores messages of later terms",
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
    name: "read-without-quorum",
    bug: "A leader answers reads without confirming its leadership with a majority",
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
    name: "stale-read-reaches-client",
    bug: "A leader answers reads of clients without confirming its leadership with a majority",
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
    name: "read-confirmed-by-old-round",
    bug: "The reply to a heartbeat that was sent before a read confirms the read",
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
    name: "read-before-commit-in-term",
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
    name: "grant-pre-vote-in-lease",
    bug: "A member that receives messages of its leader grants pre-votes",
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
    name: "campaign-without-pre-vote",
    bug: "A member that was disconnected starts a term without a pre-vote",
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
