import { inTest, type Mutant } from "./mutant.ts";

/** Bugs of the groups of small chunks. */
export const GROUP_MUTANTS: readonly Mutant[] = [
  {
    name: "group-without-sync",
    bug: "A group of small chunks is recorded before its bytes are synced",
    breaks: "G6: a receipt is for bytes that survive a power failure",
    edits: [
      {
        file: "chunkserver/store/put-many.ts",
        find: "      await allocation.file.sync();\n",
        replace: "",
      },
    ],
    caughtBy: inTest("test/chunkserver/crash.test.ts"),
  },
  {
    name: "group-ids-not-verified",
    bug: "A record is committed for a small chunk whose id was not compared with its blocks",
    breaks: "G4: the bytes of a chunk have its id",
    edits: [
      {
        file: "chunkserver/store/put-many.ts",
        find: "      checkChunkId(hasher, chunk, chunk.hashes);\n",
        replace: "",
      },
    ],
    caughtBy: inTest("test/chunkserver/put-small.test.ts"),
  },
  {
    name: "group-answered-without-own-copy",
    bug: "A server answers a group when the servers after it have stored it",
    breaks: "docs/wire-protocol.md: the group is durable on this server and all after it",
    edits: [
      {
        file: "chunkserver/pipeline/put-small.ts",
        find: "await Promise.allSettled([here, after]);",
        replace: "await Promise.allSettled([here.catch(() => {}), after]);",
      },
    ],
    caughtBy: inTest("test/chunkserver/put-small.test.ts"),
  },
  {
    name: "group-receipts-not-counted",
    bug: "A server passes on a group although the servers after it have sent too few receipts",
    breaks: "docs/wire-protocol.md: the receipts of all servers after this one",
    edits: [
      {
        file: "chunkserver/pipeline/put-small.ts",
        find: "if (isWhole) return receipts;",
        replace: "if (isWhole || receipts.length >= 0) return chunks.map(() => new Uint8Array(0));",
      },
    ],
    caughtBy: inTest("test/chunkserver/put-small.test.ts"),
  },
  {
    name: "intent-of-old-placement",
    bug: "A client uses a kept intent after it has changed a storage class",
    breaks: "docs/decisions/0027: a chunk has the copies of the class that its writer has set",
    edits: [
      {
        file: "client/write/intent-pool.ts",
        find: "        placementChanges === masters.placementChanges &&\n",
        replace: "        placementChanges <= masters.placementChanges &&\n",
      },
    ],
    caughtBy: inTest("test/client/write/small-chunks.test.ts"),
  },
  {
    name: "abandoned-bytes-sent",
    bug: "A group has the bytes of a chunk whose writer has released them",
    breaks: "docs/decisions/0027: the wait of each writer ends with its deadline",
    edits: [
      {
        file: "client/write/group-queue.ts",
        find: "    this.#waiting = this.#waiting.filter((chunk) => !chunk.isOver);\n",
        replace: "",
      },
      {
        file: "client/write/group-write.ts",
        find: "const chunks = gathered.filter((chunk) => !chunk.isOver);",
        replace: "const chunks = gathered;",
      },
    ],
    caughtBy: inTest("test/client/write/small-chunks.test.ts"),
  },
];
