import { inCluster, inLog, inNamespace, inTest, type Mutant } from "./mutant.ts";

/** Bugs of the driver and the storage: the log on disk, snapshots, reads, membership changes. */
export const DRIVER_MUTANTS: readonly Mutant[] = [
  {
    name: "vote-not-synced",
    bug: "A vote is not written until the next log record is written",
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
    bug: "A record counts as durable when it is written but not synced",
    breaks: "G1: acknowledged changes survive",
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
    name: "send-replies-before-sync",
    bug: "The driver sends the replies that depend on a write when the write starts",
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
    name: "truncate-at-corrupt-record",
    bug: "A corrupt record in the middle of the log is treated as a torn record at the end",
    breaks: "docs/on-disk-format.md: corruption is not a torn tail",
    edits: [
      {
        file: "master/storage/segment-records.ts",
        find: "if (valid !== null)\n",
        replace: "if (valid !== null && offset < 0)\n",
      },
    ],
    caughtBy: inTest("test/master/storage/raft-log-damage.test.ts"),
  },
  {
    name: "lost-log-end-reset",
    bug: "A log that lacks entries of the state is always reset to the state",
    breaks: "G1: a member that lost entries does not vote",
    edits: [
      {
        file: "master/driver/open-driver.ts",
        find: "if (!states.isLogResetPending) {",
        replace: "if (states.isLogResetPending && index < 0) {",
      },
    ],
    caughtBy: inTest("test/master/driver/lost-log.test.ts"),
  },
  {
    name: "lost-log-forgotten",
    bug: "A member that stopped because it lost acknowledged entries starts again as a voter",
    breaks: "G1: a member that lost entries does not vote",
    edits: [
      {
        file: "master/storage/open-member-storage.ts",
        find: "  await refuseLostLog(options);\n",
        replace: "",
      },
    ],
    caughtBy: inTest("test/master/driver/lost-log.test.ts"),
  },
  {
    name: "lost-log-recorded-first",
    bug: "A member that lost acknowledged entries takes part until that is recorded",
    breaks: "G1: a member that lost entries does not vote",
    edits: [
      {
        file: "master/driver/member.ts",
        find: "this.#fail(error, stopWithoutEntries);",
        replace: "void stopWithoutEntries(deps, error);",
      },
    ],
    caughtBy: inTest("test/master/driver/lost-log.test.ts"),
  },
  {
    name: "diverged-member-answers",
    bug: "A member confirms reads although the leader has another history",
    breaks: "G2: a linearizable read shows every acknowledged change",
    edits: [
      {
        file: "master/driver/refused-messages.ts",
        find: "return isCurrent ? found.error : null;",
        replace: "return isCurrent ? null : found.error;",
      },
    ],
    caughtBy: inTest("test/master/driver/refused-messages.test.ts"),
  },
  {
    name: "log-reset-stays-pending",
    bug: "After the installation of a snapshot the log may be reset at any later start",
    breaks: "G1: a member that lost entries does not vote",
    edits: [
      {
        file: "master/storage/state-stores.ts",
        find: "if (this.#isLogResetPending) await this.#point(this.#current, false);",
        replace: "",
      },
    ],
    caughtBy: inTest("test/master/driver/lost-log.test.ts"),
  },
  {
    name: "newest-segment-not-recorded",
    bug: "The newest log segment is not recorded when it is created",
    breaks: "docs/on-disk-format.md: no segment is missing at the end of the log",
    edits: [
      {
        file: "master/storage/newest-segment.ts",
        find: "if (sequence <= this.#sequence) return;",
        replace: "if (this.#sequence > 0 || sequence === 0) return;",
      },
    ],
    caughtBy: inCluster(5),
  },
  {
    name: "read-replaced-entry",
    bug: "An entry that is read from disk may be one that a later leader replaced",
    breaks: "Raft §5.3: log matching",
    edits: [
      {
        file: "master/storage/entry-reader.ts",
        find: "entry.index !== next || !entries.has(entry)",
        replace: "entry.index !== next",
      },
    ],
    caughtBy: inTest("test/master/storage/log-on-disk.test.ts"),
  },
  {
    name: "evict-before-write",
    bug: "Entries leave the memory while the log still has to replace those on disk",
    breaks: "docs/on-disk-format.md: an entry is valid if its term is that of the log",
    edits: [
      {
        file: "master/storage/raft-log.ts",
        find: "Math.min(this.#written.index, this.#hardState.commitIndex)",
        replace: "this.#entries.lastIndex",
      },
    ],
    caughtBy: inTest("test/master/storage/log-on-disk.test.ts"),
  },
  {
    name: "skip-segment-with-terms",
    bug: "At the start, a segment with entries of several terms counts as one of its first term",
    breaks: "Raft §5.3: log matching",
    edits: [
      {
        file: "master/storage/log-recovery.ts",
        find: "return next.base.term !== base.term || next.base.index < base.index;",
        replace: "return next.base.index < base.index;",
      },
    ],
    caughtBy: inTest("test/master/storage/log-on-disk.test.ts"),
  },
  {
    name: "snapshot-keeps-old-log",
    bug: "A snapshot replaces the state, but the older log is kept",
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
    name: "snapshot-without-outcomes",
    bug: "A snapshot omits the outcomes of the sessions",
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
    name: "send-corrupt-state",
    bug: "A corrupt state is sent as a snapshot and installed",
    breaks: "docs/decisions/0009: every reader of all rows compares the hash",
    edits: [
      {
        file: "master/driver/snapshot-parts.ts",
        find: "if (stateHash !== null && !equalBytes(stateHash, rows.stateHash)) {",
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
    name: "snapshot-keeps-removed-rows",
    bug: "A resumed snapshot keeps rows that the sender has removed since the interruption",
    breaks: "Raft §7: a snapshot is the state at its index",
    edits: [
      {
        file: "master/driver/parts-receiver.ts",
        find: "        removals.push({ key, value: null });",
        replace: "        if (key.length === 0) removals.push({ key, value: null });",
      },
    ],
    caughtBy: inTest("test/master/driver/snapshot-ranges.test.ts"),
  },
  {
    name: "snapshot-keeps-changed-range",
    bug: "The sender of a snapshot keeps a range at the receiver although its digest differs",
    breaks: "Raft §7: a snapshot is the state at its index",
    edits: [
      {
        file: "master/driver/snapshot-parts.ts",
        find: "} else if (equalBytes(range.digest, await sender.hashRange(start, end))) {",
        replace: "} else if ((await sender.hashRange(start, end)).length > 0) {",
      },
    ],
    caughtBy: inTest("test/master/driver/snapshot-ranges.test.ts"),
  },
  {
    name: "lost-reply-counts-as-success",
    bug: "A membership change whose reply was lost is reported as done",
    breaks: "docs/decisions/0007: the log determines the members",
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
    name: "membership-change-not-settled",
    bug: "A membership change is reported as done when the leader has applied it",
    breaks: "docs/decisions/0007: the remaining members must not depend on the others again",
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
    name: "state-index-without-checksum",
    bug: "A flipped bit in the stored index of the state is not detected",
    breaks: "docs/on-disk-format.md: the check over `Ma` and `Mm`",
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
    bug: "A command that was appended to the log is appended again in the next turn",
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
    name: "read-before-apply",
    bug: "A read is answered before the state has applied the read index",
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
  {
    name: "other-history-counts",
    bug: "A leader counts the acknowledgements of a member again that it has refused once",
    breaks: "docs/decisions/0023: two histories of one term",
    edits: [
      {
        file: "master/raft/other-history.ts",
        find: "if (known !== undefined && known !== null) return",
        replace:
          "if (known !== undefined && known !== null && message.kind !== `append-accepted`) return",
      },
    ],
    caughtBy: inTest("test/master/driver/refused-messages.test.ts"),
  },
  {
    name: "read-before-own-commits",
    bug: "A member answers a read at an index before entries that it has committed",
    breaks: "docs/decisions/0023: two histories of one term",
    edits: [
      {
        file: "master/raft/other-history.ts",
        find: "if (!isOwnRead || readIndex >= indexMin) return null;",
        replace: "if (!isOwnRead || readIndex >= 0) return null;",
      },
    ],
    caughtBy: inTest("test/master/raft/other-history.test.ts"),
  },
  {
    name: "founder-without-incarnation",
    bug: "Entry 1 does not name the incarnations of the founders",
    breaks: "docs/decisions/0013: entry 1 names the founders",
    edits: [
      {
        file: "master/driver/open-driver.ts",
        find: "members: founding.records }),",
        replace: "members: [] }),",
      },
    ],
    caughtBy: inTest("test/master/driver/founding.test.ts"),
  },
  {
    name: "found-with-majority",
    bug: "A cluster is founded when a majority of the founders is there",
    breaks: "docs/decisions/0013: all founders are empty and reachable",
    edits: [
      {
        file: "master/driver/founding.ts",
        find: "if (this.#others.every((id) => this.#agreed.has(id))) await",
        replace: "if (this.#agreed.size * 2 >= this.#others.length) await",
      },
      {
        file: "master/driver/founding.ts",
        find: "const isConfirmed = this.#others.every((id) =>",
        replace: "const isConfirmed = [...this.#agreed.keys()].every((id) =>",
      },
    ],
    caughtBy: inCluster(10),
  },
];
