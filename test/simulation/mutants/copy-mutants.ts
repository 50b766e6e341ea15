import { inCopies, inTest, type Mutant } from "./mutant.ts";

/** Bugs of recorded copies that their server does not have. */
export const COPY_MUTANTS: readonly Mutant[] = [
  {
    name: "loss-removed-too-early",
    bug: "A chunkserver forgets a lost copy although a commit may still record it",
    breaks: "docs/decisions/0002: a loss is kept until it is final",
    edits: [
      {
        file: "chunkserver/store/loss-reports.ts",
        find: "intentFloor === undefined || intentIndex === null",
        replace: "intentFloor !== undefined || intentIndex === null",
      },
    ],
    caughtBy: inTest("test/chunkserver/loss-reports.test.ts"),
  },
  {
    name: "copies-not-compared",
    bug: "A chunkserver does not compare its index with the copies that the masters record",
    breaks: "docs/decisions/0020: a recorded copy that its server does not have is found",
    edits: [
      {
        file: "chunkserver/upkeep/copy-comparison.ts",
        find: "    if (this.#isInPass) return true;\n",
        replace: "    if (this.#passDueMs >= 0) return false;\n",
      },
    ],
    caughtBy: inCopies(12),
  },
  {
    name: "copies-compared-once",
    bug: "A chunkserver does not compare again when the receipts from before its start have expired",
    breaks: "docs/decisions/0020: a commit with an old receipt records a copy after the comparison",
    edits: [
      {
        file: "chunkserver/upkeep/copy-comparison.ts",
        find: "    if ((this.#deps.link.intentFloor ?? 0) <= this.#repeatIndex) return;\n",
        replace: "    if ((this.#deps.link.intentFloor ?? 0) >= 0) return;\n",
      },
    ],
    caughtBy: inTest("test/chunkserver/compare-copies.test.ts"),
  },
  {
    name: "failed-sync-repeated",
    bug: "The callers that wait during a failed sync get the result of another sync",
    breaks: "G6: a repeated fdatasync reports success for bytes that are lost (fsyncgate)",
    edits: [
      {
        file: "chunkserver/store/coalesced-sync.ts",
        find: "    if (this.#failed !== null) return this.#failed;\n",
        replace: "",
      },
      {
        file: "chunkserver/store/coalesced-sync.ts",
        find: "this.#running.then(() => this.#start());",
        replace: "this.#running.then(() => this.#start(), () => this.#start());",
      },
    ],
    caughtBy: inTest("test/chunkserver/failed-sync.test.ts"),
  },
  {
    name: "promise-after-failed-sync",
    bug: "The index commits new extents after a failed sync",
    breaks: "G6: after a failed sync the store accepts no bytes until a restart",
    edits: [
      {
        file: "chunkserver/store/chunk-index.ts",
        find: "if (staged.promisesBytes) this.#events.requireWritable();",
        replace: "if (staged.promisesBytes && applied.length < 0) this.#events.requireWritable();",
      },
    ],
    caughtBy: inTest("test/chunkserver/failed-sync.test.ts"),
  },
  {
    name: "detector-blamed",
    bug: "A server of a write chain that finds a corrupt block blames itself",
    breaks: "docs/wire-protocol.md: the chain is broken at the server that sent the block",
    edits: [
      {
        file: "chunkserver/pipeline/chain-place.ts",
        find: "sender === undefined ? error : toChainBrokenError(sender.serverId, error)",
        replace:
          "sender === undefined ? error : toChainBrokenError(intent.servers[position]?.serverId ?? sender.serverId, error)",
      },
    ],
    caughtBy: inTest("test/chunkserver/chain-blame.test.ts"),
  },
  {
    name: "lane-without-limit",
    bug: "A kind of disk operation takes more places than it has",
    breaks: "docs/operations.md: a disk that hangs holds a limited number of threads",
    edits: [
      {
        file: "chunkserver/store/disk-lanes.ts",
        find: "    if (next === undefined) this.#takenCount -= 1;\n    else next.start();",
        replace: "    this.#takenCount -= 1;\n    next?.start();",
      },
    ],
    caughtBy: inTest("test/chunkserver/disk-lanes.test.ts"),
  },
  {
    name: "error-condemns-copy",
    bug: "A read error of the disk counts as the loss of the copy",
    breaks: "docs/decisions/0025: a copy that the disk cannot read is kept",
    edits: [
      {
        file: "chunkserver/store/chunk-reader.ts",
        find: "    const { error } = result;\n    this.#events.onUnreadable(",
        replace:
          "    const { error } = result;\n    await this.#events.onDamaged(place);\n    this.#events.onUnreadable(",
      },
    ],
    caughtBy: inTest("test/chunkserver/unreadable-disk.test.ts"),
  },
  {
    name: "last-unreadable-copy-dropped",
    bug: "The masters drop the last recorded copy of a chunk because a disk cannot read it",
    breaks: "docs/decisions/0025: the state keeps the last recorded copy",
    edits: [
      {
        file: "master/namespace/chunks.ts",
        find: "if (isUnreadable === true && replicas.length === 0) continue;",
        replace: "if (isUnreadable === true && replicas.length < 0) continue;",
      },
    ],
    caughtBy: inTest("test/master/namespace/scenarios.test.ts"),
  },
  {
    name: "second-put-keeps-old-bytes",
    bug: "A chunk that is put again keeps its stored bytes without a look at them",
    breaks: "docs/decisions/0024: a receipt is for bytes that were verified",
    edits: [
      {
        file: "chunkserver/store/seal.ts",
        find: "{ ...withIntent(known, intent, dueMs), extents }, hashes);\n    return known.extents;",
        replace: "withIntent(known, intent, dueMs), hashes);\n    return extents;",
      },
    ],
    caughtBy: inTest("test/chunkserver/second-put.test.ts"),
  },
  {
    name: "writer-counted-late",
    bug: "A packed file can be deleted while a write waits for its open",
    breaks: "G6: bytes that a seal acknowledges are in a file with a name",
    edits: [
      {
        file: "chunkserver/store/packed-files.ts",
        find: "file.writerCount > 0 || name === this.#current) continue;\n      this.#byName.delete",
        replace: "name === this.#current) continue;\n      this.#byName.delete",
      },
    ],
    caughtBy: inTest("test/chunkserver/packed-files.test.ts"),
  },
  {
    name: "presumed-servers-count",
    bug: "A new leader counts copies on recorded servers without a heartbeat, and drops others",
    breaks: "No good copy is deleted while fewer than the wanted number are proven",
    edits: [
      {
        file: "master/fleet/registry.ts",
        find: "return server.lastHeartbeatMs !== null && server.lastHeartbeatMs >= this.#termStartedMs;",
        replace: "return true;",
      },
    ],
    caughtBy: inTest("test/master/api/confirm-chunks.test.ts"),
  },
  {
    name: "removals-count-on-each-other",
    bug: "Two chunkservers are removed at the same time, each because the other one has the copies",
    breaks: "A removal leaves each chunk at least one copy on another server",
    edits: [
      {
        file: "master/api/server-removal.ts",
        find: "if (check !== null && check.serverId !== serverId) throw otherRemoval",
        replace: "if (check?.serverId === serverId && check.term < 0) throw otherRemoval",
      },
    ],
    caughtBy: inTest("test/master/api/remove-server.test.ts"),
  },
  {
    name: "removal-check-not-repeated",
    bug: "A chunkserver is removed although a copy was lost after it was counted",
    breaks: "A removal leaves each chunk at least one copy on another server",
    edits: [
      {
        file: "master/api/server-removal.ts",
        find: "check.dropsBefore === null || check.dropsBefore !== this.#drops()",
        replace: "check.dropsBefore === this.#dropsBegun + 1",
      },
    ],
    caughtBy: inTest("test/master/api/remove-server.test.ts"),
  },
];
