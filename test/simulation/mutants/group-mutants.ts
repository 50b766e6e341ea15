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
];
