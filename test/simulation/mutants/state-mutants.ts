import { inCluster, inNamespace, inTest, type Mutant } from "./mutant.ts";

/** Bugs of the replicated state and of the chunk store. */
export const STATE_MUTANTS: readonly Mutant[] = [
  {
    name: "apply-twice",
    bug: "The last mutation of a session runs again when it is repeated",
    breaks: "G4, Raft thesis §6.3",
    edits: [
      {
        file: "master/namespace/sessions.ts",
        find: "attempt.sequence <= session.highestSequence;",
        replace: "attempt.sequence < session.highestSequence;",
      },
    ],
    caughtBy: inNamespace(10),
  },
  {
    name: "apply-again-after-a-restart",
    bug: "The state says that it stands before entries that it holds",
    breaks: "ARCHITECTURE.md: a crash leaves a consistent earlier state",
    edits: [
      {
        file: "master/namespace/namespace.ts",
        find: "...durableChanges(durable)]",
        replace: "...durableChanges(this.#durable)]",
      },
    ],
    caughtBy: inTest("test/master/namespace/durability.test.ts"),
  },
  {
    name: "session-forgets-outcomes",
    bug: "A session knows that a mutation ran and forgets what came of it",
    breaks: "G4, Raft thesis §6.3",
    edits: [
      {
        file: "master/namespace/sessions.ts",
        find: "change.insertUnversioned(OUTCOMES, key, outcome);",
        replace: "",
      },
    ],
    caughtBy: inNamespace(10),
  },
  {
    name: "session-forgets-refusals",
    bug: "A mutation that was refused is tried again when it is repeated",
    breaks: "G4",
    edits: [
      {
        file: "master/namespace/sessions.ts",
        find: "if (first !== undefined) return first;",
        replace: "if (first?.ok === true) return first;",
      },
    ],
    caughtBy: inNamespace(10),
  },
  {
    name: "half-a-transaction",
    bug: "A transaction that is refused keeps what its first operations did",
    breaks: "G3",
    edits: [
      {
        file: "master/namespace/transaction.ts",
        find: "    change.rollback();",
        replace: "",
      },
    ],
    caughtBy: inNamespace(10),
  },
  {
    name: "time-of-the-replica",
    bug: "How far a replica has flushed changes the time that an entry records",
    breaks: "State Machine Safety: one log, one state",
    edits: [
      {
        file: "master/namespace/namespace.ts",
        find: 'const nowMs = "nowMs" in command ? Math.max(clockMs, command.nowMs) : clockMs;',
        replace: `const lagMs = index - this.#durable.index;
    const nowMs = "nowMs" in command ? Math.max(clockMs, command.nowMs) + lagMs : clockMs;`,
      },
    ],
    caughtBy: inNamespace(10),
  },
  {
    name: "feed-skips-what-expired",
    bug: "A watcher that is behind the retention goes on with what is left, and is not told",
    breaks: "G15",
    edits: [
      {
        file: "master/namespace/feed-query.ts",
        find: "if (from.index >= oldestIndex) return;",
        replace: "if (from.index >= 0) return;",
      },
    ],
    caughtBy: inCluster(40),
  },
  {
    name: "purge-whatever-the-intent",
    bug: "A purge deletes a copy that was stored again after the purge was decided",
    breaks: "ARCHITECTURE.md: what is deleted, and when",
    edits: [
      {
        file: "chunkserver/store/replicas.ts",
        find: 'if (record.intentIndex >= purgeIndex) return "kept";',
        replace: "",
      },
    ],
    caughtBy: inTest("test/chunkserver/chunk-store.test.ts"),
  },
  {
    name: "seal-without-the-root",
    bug: "A chunk is sealed under an id that its blocks do not have",
    breaks: "G5",
    edits: [
      {
        file: "chunkserver/store/seal.ts",
        find: "if (root === chunkId) return hashes;",
        replace: "if (root.length > 0) return hashes;",
      },
    ],
    caughtBy: inTest("test/chunkserver/chunk-store.test.ts"),
  },
  {
    name: "seal-before-sync",
    bug: "A seal is answered before the chunk's bytes are on disk",
    breaks: "G6",
    edits: [
      {
        file: "chunkserver/store/seal.ts",
        find: "      await partial.sync();\n",
        replace: "",
      },
    ],
    caughtBy: inTest("test/chunkserver/crash.test.ts"),
  },
];
