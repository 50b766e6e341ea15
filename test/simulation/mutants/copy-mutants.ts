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
];
