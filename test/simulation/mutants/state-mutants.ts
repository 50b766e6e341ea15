import { inCluster, inNamespace, inTest, type Mutant } from "./mutant.ts";

/** Bugs of the replicated state and of the chunk store. */
export const STATE_MUTANTS: readonly Mutant[] = [
  {
    name: "uncounted-rows",
    bug: "The rows of a range do not count as work, so a commit may read any number of chunks",
    breaks: "docs/decisions/0014: the work of one entry is bounded",
    edits: [
      {
        file: "master/namespace/metered-overlay.ts",
        find: "      this.#meter.countRangeRow();\n",
        replace: "",
      },
    ],
    caughtBy: inTest("test/master/namespace/cost.test.ts"),
  },
  {
    name: "unbounded-past-listing",
    bug: "Names that a past listing skips do not count as work, so one page may scan a whole history",
    breaks: "docs/decisions/0014: the work of a read is bounded",
    edits: [
      {
        file: "master/namespace/queries.ts",
        find: "work += value === undefined ? 1 : ENTRY_WORK;",
        replace: "work += value === undefined ? 0 : ENTRY_WORK;",
      },
    ],
    caughtBy: inTest("test/master/namespace/bounded-reads.test.ts"),
  },
  {
    name: "row-in-an-empty-range",
    bug: "A row that is written into a range that was empty is not found by reads of the range",
    breaks: "Reads of a range show all rows of the state",
    edits: [
      {
        file: "master/namespace/overlay.ts",
        find: "    this.#emptyRanges.cut(key);\n    const cell",
        replace: "    const cell",
      },
    ],
    caughtBy: inTest("test/master/namespace/overlay.test.ts"),
  },
  {
    name: "reclaim-forgets-a-version",
    bug: "The reclaim of a removed inode leaves the old version of its directory entry",
    breaks: "ARCHITECTURE.md, Deletion",
    edits: [
      {
        file: "master/namespace/reclaim.ts",
        find: "  change.deleteUnreadable(HISTORY, historyKey(entryKey(parent, name), item.index));\n",
        replace: "",
      },
    ],
    caughtBy: inTest("test/master/namespace/removal-level.test.ts"),
  },
  {
    name: "version-of-no-state",
    bug: "An inode that one entry makes and removes gets a version in the history",
    breaks: "ARCHITECTURE.md, Deletion",
    edits: [
      {
        file: "master/namespace/change.ts",
        find: "    if (inode.version === this.index || entry.version === this.index) return false;\n",
        replace: "",
      },
    ],
    caughtBy: inTest("test/master/namespace/removal-level.test.ts"),
  },
  {
    name: "one-row-below-its-level",
    bug: "A removal leaves one row of the queue while a member of the level below leaves three",
    breaks: "docs/decisions/0021: equal hashes below feature level 14",
    edits: [
      {
        file: "master/namespace/change.ts",
        find: "featureLevel >= FEATURE_LEVEL_REMOVED;",
        replace: "featureLevel >= FEATURE_LEVEL_REMOVED - 1;",
      },
    ],
    caughtBy: inTest("test/master/namespace/removal-level.test.ts"),
  },
  {
    name: "formats-not-compared",
    bug: "A program opens a state with a table of a newer format",
    breaks: "docs/decisions/0021: a newer format is refused",
    edits: [
      {
        file: "master/namespace/durable.ts",
        find: "checkFormats(FORMATS.decode(formatBytes, META_KEY.formats));",
        replace: "FORMATS.decode(formatBytes, META_KEY.formats);",
      },
    ],
    caughtBy: inTest("test/master/namespace/row-formats.test.ts"),
  },
  {
    name: "unbounded-lookup",
    bug: "The rows of a lookup do not count, so a lookup by inode may walk up any number of levels",
    breaks: "docs/decisions/0014: the work of a read is bounded",
    edits: [
      {
        file: "master/namespace/read-budget.ts",
        find: "    if (this.#rows <= this.#rowsMax) return;",
        replace: "    if (this.#rows > 0) return;",
      },
    ],
    caughtBy: inTest("test/master/namespace/bounded-reads.test.ts"),
  },
  {
    name: "published-root-of-old-segments",
    bug: "An upload that grows keeps the digest of a segment that was not full",
    breaks: "docs/decisions/0014: the content root covers all chunks of a published file",
    edits: [
      {
        file: "master/namespace/publish.ts",
        find: "    (start / SEGMENT_CHUNKS) * DIGEST_BYTES,\n",
        replace: "    Math.ceil(first / SEGMENT_CHUNKS) * DIGEST_BYTES,\n",
      },
    ],
    caughtBy: inTest("test/master/namespace/publish.test.ts"),
  },
  {
    name: "applier-ignores-cost",
    bug: "The applier does not end a turn after expensive entries",
    breaks: "docs/decisions/0014: a turn applies a bounded amount of work",
    edits: [
      {
        file: "master/driver/applier.ts",
        find: "isLate || units >= UNITS_PER_TURN",
        replace: "isLate",
      },
    ],
    caughtBy: inTest("test/master/driver/applier.test.ts"),
  },
  {
    name: "apply-repeated-mutation",
    bug: "The last mutation of a session is applied again when the client repeats it",
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
    name: "reapply-after-restart",
    bug: "The stored index of the state is lower than the last entry that the state contains",
    breaks: "docs/decisions/0004: a crash leaves a consistent earlier state",
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
    name: "session-loses-outcomes",
    bug: "A session records that a mutation was applied, but not its outcome",
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
    name: "session-retries-refusals",
    bug: "A refused mutation is executed again when the client repeats it",
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
    name: "partial-transaction",
    bug: "A refused transaction keeps the changes of its first operations",
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
    name: "replica-dependent-time",
    bug: "The recorded time of an entry depends on how far the replica has flushed",
    breaks: "State Machine Safety: the same log gives the same state",
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
    name: "feed-skips-expired-events",
    bug: "A watch behind the retention continues at the oldest event without an error",
    breaks: "G15",
    edits: [
      {
        file: "master/namespace/feed-query.ts",
        find: "if (isKept(state, from)) return;",
        replace: "if (from.index >= 0) return;",
      },
    ],
    caughtBy: inCluster(40),
  },
  {
    name: "expired-session-keeps-uploads",
    bug: "The unfinished uploads of a closed or expired session stay for ever",
    breaks: "docs/decisions/0012, G10",
    edits: [
      {
        file: "master/namespace/sessions.ts",
        find: "  releaseStaged(change, id);\n",
        replace: "",
      },
    ],
    caughtBy: inCluster(20),
  },
  {
    name: "upload-holds-no-chunks",
    bug: "An unfinished upload lists its chunks without a reference to them",
    breaks: "docs/decisions/0012, ARCHITECTURE.md, Deletion",
    edits: [
      {
        file: "master/namespace/staging.ts",
        find: "    addReference(change, chunk, copiesWanted);\n",
        replace: "",
      },
    ],
    caughtBy: inTest("test/master/namespace/scenarios.test.ts"),
  },
  {
    name: "long-write-is-not-staged",
    bug: "The client does not stage the sealed chunks of a long write",
    breaks: "docs/decisions/0012",
    edits: [
      {
        file: "client/write/staging.ts",
        find: "nowMs - each.requestedAtMs > each.lifetimeMs / 3",
        replace: "nowMs - each.requestedAtMs > each.lifetimeMs * 3",
      },
    ],
    caughtBy: inTest("test/client/integration/long-write.test.ts"),
  },
  {
    name: "repair-scan-is-final",
    bug: "The scan of a failed chunkserver is not repeated after a complete pass",
    breaks: "docs/decisions/0017: no pass is final",
    edits: [
      {
        file: "master/fleet/repair-scan.ts",
        find: "this.#nextPassMs = nowMs + REPEAT_MS;",
        replace: "this.#nextPassMs = Number.POSITIVE_INFINITY;",
      },
    ],
    caughtBy: inTest("test/master/fleet/repair-work.test.ts"),
  },
  {
    name: "stall-revives-failed-servers",
    bug: "A stall of the leader starts the observation of failed chunkservers again",
    breaks: "docs/decisions/0017: a stall removes no silence from a dead server",
    edits: [
      {
        file: "master/fleet/registry.ts",
        find: "    this.#stalledMs += stalledMs;\n",
        replace:
          "    this.#stalledMs += stalledMs;\n    this.#observedFromMs = this.#listeningMs();\n",
      },
    ],
    caughtBy: inTest("test/master/fleet/repair-work.test.ts"),
  },
  {
    name: "reasons-at-every-level",
    bug: "An outcome is stored as a reason while a member of version 0.1.0 stores its words",
    breaks: "docs/decisions/0016: equal hashes below feature level 8",
    edits: [
      {
        file: "master/namespace/transaction.ts",
        find: "  const isFrozen = change.featureLevel < FEATURE_LEVEL_REASONS;\n",
        replace: "  const isFrozen = change.featureLevel < FEATURE_LEVEL_REASONS - 7;\n",
      },
    ],
    caughtBy: inTest("test/master/namespace/refused-outcomes.test.ts"),
  },
  {
    name: "details-in-other-form",
    bug: "The details of a row with words have another form than those of version 0.1.0",
    breaks: "docs/decisions/0016: equal hashes below feature level 8",
    edits: [
      {
        file: "master/namespace/refusal-words-0-1.ts",
        find: 'name === "path" ?',
        replace: 'name === "" ?',
      },
    ],
    caughtBy: inTest("test/master/namespace/refused-outcomes.test.ts"),
  },
  {
    name: "purge-ignores-intent",
    bug: "A purge deletes a copy that was stored again after the purge was decided",
    breaks: "ARCHITECTURE.md, Deletion",
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
    name: "seal-without-root-check",
    bug: "A chunk is sealed under an id that is not the root hash of its blocks",
    breaks: "G5",
    edits: [
      {
        file: "chunkserver/store/seal.ts",
        find: "if (root === chunkId) return;",
        replace: "if (root.length > 0) return;",
      },
    ],
    caughtBy: inTest("test/chunkserver/chunk-store.test.ts"),
  },
  {
    name: "seal-before-sync",
    bug: "A seal is acknowledged before the bytes of the chunk are on disk",
    breaks: "G6",
    edits: [
      {
        file: "chunkserver/store/seal.ts",
        find: "  await partial.sync();\n",
        replace: "",
      },
    ],
    caughtBy: inTest("test/chunkserver/crash.test.ts"),
  },
  {
    name: "clock-taken-unbounded",
    bug: "The leader takes over the clocks of the masters, however far they have jumped",
    breaks: "docs/decisions/0015: the rate is bounded",
    edits: [
      {
        file: "master/fleet/cluster-clock.ts",
        find: "const nextMs = Math.min(targetMs, runningMs + this.#creditMs);",
        replace: "const nextMs = targetMs;",
      },
    ],
    caughtBy: inTest("test/master/fleet/cluster-clock.test.ts"),
  },
  {
    name: "step-counts-as-passed-time",
    bug: "The retention counts a step of the clock as passed time",
    breaks: "docs/decisions/0015: the retention does not count a step",
    edits: [
      {
        file: "master/namespace/history-floor.ts",
        find: "passed - (toMs - fromMs), timeMs);",
        replace: "passed - 0 * (toMs - fromMs), timeMs);",
      },
    ],
    caughtBy: inTest("test/master/namespace/clock-steps.test.ts"),
  },
];
