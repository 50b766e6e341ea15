import { inCluster, inLog, inNamespace, inTest, type Mutant } from "./mutant.ts";

/** Bugs of what carries the core's decisions out: the log on disk, snapshots, reads. */
export const DRIVER_MUTANTS: readonly Mutant[] = [
  {
    name: "vote-not-synced",
    bug: "A vote waits in memory for the next record of the log",
    breaks: "Raft, Figure 2: persistent state",
    edits: [
      {
        file: "master/storage/raft-log.ts",
        find: "return hardState.term !== written.term || hardState.votedFor !== written.votedFor;",
        replace: "return false;",
      },
    ],
    caughtBy: inTest("test/master/storage/raft-log.test.ts"),
  },
  {
    name: "acknowledge-before-sync",
    bug: "A record counts as durable when it is written and not synced",
    breaks: "G1: what is acknowledged survives",
    edits: [
      {
        file: "master/storage/segment-file.ts",
        find: "this.#file.writeDurably(target, this.#lengthBytes)",
        replace: "this.#file.write([target], this.#lengthBytes)",
      },
    ],
    caughtBy: inLog(20),
  },
  {
    name: "promise-before-sync",
    bug: "The driver delivers the core's promises when the write begins",
    breaks: "the contract of Ready",
    edits: [
      {
        file: "master/driver/storage-writer.ts",
        find: "if (!this.#isFailed && replies.length > 0) onDurable(replies);",
        replace: "",
      },
      {
        file: "master/driver/storage-writer.ts",
        find: `      (error: AshlarError) => this.#fail(error),
    );`,
        replace: `      (error: AshlarError) => this.#fail(error),
    );
    if (replies.length > 0) onDurable(replies);`,
      },
    ],
    caughtBy: inLog(60),
  },
  {
    name: "truncate-a-rotten-middle",
    bug: "A damaged record in the middle of the log is taken for one that a crash cut short",
    breaks: "docs/on-disk-format.md: damage is no torn tail",
    edits: [
      {
        file: "master/storage/log-recovery.ts",
        find: "if (valid !== null) throw",
        replace: "if (valid !== null && offset < 0) throw",
      },
    ],
    caughtBy: inTest("test/master/storage/raft-log-damage.test.ts"),
  },
  {
    name: "snapshot-keeps-the-old-log",
    bug: "A snapshot replaces the state, and the log of before stays",
    breaks: "Raft §7",
    edits: [
      {
        file: "master/driver/storage-writer.ts",
        find: "await log.reset({ index: snapshot.index, term: snapshot.term }, hardState);",
        replace: "",
      },
    ],
    caughtBy: inLog(20),
  },
  {
    name: "snapshot-without-sessions",
    bug: "A snapshot leaves the outcomes of sessions out",
    breaks: "G4, Raft thesis §6.3",
    edits: [
      {
        file: "master/driver/snapshot-parts.ts",
        find: "const pairBytes = sizeOfPair(pair);",
        replace: `if (pair.key[0] === "o".charCodeAt(0)) continue;
    const pairBytes = sizeOfPair(pair);`,
      },
    ],
    caughtBy: inNamespace(20),
  },
  {
    name: "rotten-state-is-sent",
    bug: "Rows that are not those that were written are sent, and taken, as the state",
    breaks: "docs/decisions/0009: whoever reads all rows compares",
    edits: [
      {
        file: "master/driver/snapshot-parts.ts",
        find: "if (stateHash !== null && !equalBytes(stateHash, found.bytes())) {",
        replace: "if (stateHash?.length === 0) {",
      },
      {
        file: "master/driver/state-holder.ts",
        find: "if (stateHash !== null && !equalBytes(stateHash, rowsHash)) {",
        replace: "if (stateHash?.length === 0) {",
      },
    ],
    caughtBy: inCluster(10),
  },
  {
    name: "change-taken-for-done",
    bug: "A change of the members whose answer was lost counts as done",
    breaks: "docs/decisions/0007: the log says who is who",
    edits: [
      {
        file: "client/masters/membership.ts",
        find: "if (options.signal?.aborted || !isApplied(await this.status(options), change)) throw error;",
        replace:
          "if (options.signal?.aborted || (await this.status(options)).isJoint) throw error;\n      isApplied(await this.status(options), change);",
      },
    ],
    caughtBy: inTest("test/client/integration/lost-change.test.ts"),
  },
  {
    name: "change-not-settled",
    bug: "A change of the members counts as made when the leader has applied it",
    breaks: "docs/decisions/0007: those that stay must not need the others again",
    edits: [
      {
        file: "master/driver/membership-changer.ts",
        find: "await this.#waitUntilSettled(term);",
        replace: "",
      },
    ],
    caughtBy: inTest("test/master/driver/membership.test.ts"),
  },
  {
    name: "index-without-a-check",
    bug: "A bit that turns over in the index of the state is believed",
    breaks: "docs/on-disk-format.md: the check in `Ma`",
    edits: [
      {
        file: "master/namespace/durable.ts",
        find: "if (checksum !== null && !equalBytes(checksum, checksumOf(applied, membership))) {",
        replace: "if (check !== null && !equalBytes(check, check)) {",
      },
    ],
    caughtBy: inTest("test/master/namespace/state-hash.test.ts"),
  },
  {
    name: "propose-twice",
    bug: "A command that was put into the log is put there again in the next turn",
    breaks: "G4",
    edits: [
      {
        file: "master/driver/proposals.ts",
        find: `    const queued = this.#queued;
    this.#queued = [];
    return queued;`,
        replace: `    const queued = this.#queued;
    this.#queued = queued.filter((each) => each.command.length % 7 === 0 && !this.#again.has(each));
    for (const each of this.#queued) this.#again.add(each);
    return queued;`,
      },
      {
        file: "master/driver/proposals.ts",
        find: "  #queued: PendingProposal[] = [];",
        replace: `  #queued: PendingProposal[] = [];
  readonly #again = new Set<PendingProposal>();`,
      },
    ],
    caughtBy: inLog(20),
  },
  {
    name: "read-before-it-is-applied",
    bug: "A read is answered before the state shows its index",
    breaks: "G1, Raft thesis §6.4",
    edits: [
      {
        file: "master/driver/member.ts",
        find: "if (this.stateMachine.appliedIndex >= readIndex) waiter.resolve(readIndex);",
        replace: "if (readIndex >= 0) waiter.resolve(readIndex);",
      },
    ],
    caughtBy: inLog(20),
  },
];
