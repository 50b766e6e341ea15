import { inTest, type Mutant } from "./mutant.ts";

/** Bugs of the restore of the masters from a backup. */
export const RESTORE_MUTANTS: readonly Mutant[] = [
  {
    name: "restores-share-indexes",
    bug: "The indexes after a restore depend on the backup only, so two restores use the same ones",
    breaks: "docs/decisions/0010: no index is used twice",
    edits: [
      {
        file: "master/namespace/restore-id.ts",
        find: "  if (byTime > position) return byTime;\n",
        replace: "",
      },
      {
        file: "master/namespace/restore-id.ts",
        find: "next + (drawn % (by.perEpoch / 2))",
        replace: "next + (position % by.perEpoch)",
      },
    ],
    caughtBy: inTest("test/master/api/restored-copies.test.ts"),
  },
  {
    name: "restores-share-keys",
    bug: "The chunk key after a restore depends on the backup only",
    breaks: "docs/decisions/0010: receipts of another restore are void",
    edits: [
      {
        file: "master/namespace/restored-state.ts",
        find: "textToBytes(this.#restored.restoreId)",
        replace: "this.#restored.backup",
      },
    ],
    caughtBy: inTest("test/master/storage/restore-backup.test.ts"),
  },
  {
    name: "restored-sessions",
    bug: "A restored state has the sessions of the backup with their outcomes",
    breaks: "docs/decisions/0010: sessions end with a restore",
    edits: [
      {
        file: "master/namespace/restored-state.ts",
        find: "  TABLE_BYTE.outcome,\n  TABLE_BYTE.session,\n",
        replace: "",
      },
    ],
    caughtBy: inTest("test/master/storage/restore-backup.test.ts"),
  },
  {
    name: "restored-member-votes-at-once",
    bug: "A member that was restored from a backup takes part from its start",
    breaks: "G19: masters that lost their directories found no second cluster",
    edits: [
      {
        file: "master/driver/open-driver.ts",
        find: "= restored ?? { index: INDEX_ZERO, term: TERM_ZERO };",
        replace: "= { ...restored, index: INDEX_ZERO, term: TERM_ZERO };",
      },
    ],
    caughtBy: inTest("test/master/driver/restored-group.test.ts"),
  },
  {
    name: "founders-of-different-restores",
    bug: "Empty members and members of different restores found a group together",
    breaks: "docs/decisions/0010: the members of a restored cluster have one restore in common",
    edits: [
      {
        file: "master/driver/founding.ts",
        find: "      if (problem !== null) return problem;\n",
        replace: "",
      },
    ],
    caughtBy: inTest("test/master/driver/restored-group.test.ts"),
  },
  {
    name: "peer-of-another-restore",
    bug: "A member accepts a peer that was restored from another backup",
    breaks: "docs/decisions/0010: the members of a restored cluster have one restore in common",
    edits: [
      {
        file: "master/driver/peer-handshake.ts",
        find: "  if (envelope.origin !== undefined) checkOrigin(own.origin(), envelope.from, envelope.origin);\n",
        replace: "",
      },
      {
        file: "master/driver/peer-handshake.ts",
        find: "    checkOrigin(own.origin(), peer.id, reply.origin);\n",
        replace: "",
      },
    ],
    caughtBy: inTest("test/master/driver/restored-group.test.ts"),
  },
  {
    name: "copies-of-earlier-masters",
    bug: "A chunkserver deletes a copy from before a restore if the masters do not know it",
    breaks: "docs/decisions/0010: no copy from before a restore is deleted by an answer",
    edits: [
      {
        file: "chunkserver/store/replicas.ts",
        find: " && !isFromEarlierMasters(deps, intentIndex)",
        replace: "",
      },
      {
        file: "chunkserver/store/replicas.ts",
        find: 'import { isFromEarlierMasters } from "./confirm-again.ts";\n',
        replace: "",
      },
    ],
    caughtBy: inTest("test/chunkserver/confirm-again.test.ts"),
  },
];
