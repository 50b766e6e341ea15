import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import type { Command, Outcome, Refused } from "../../../master/namespace/command.ts";
import { FEATURE_LEVEL_REASONS } from "../../../master/namespace/feature-levels.ts";
import { outcomeKey, textToBytes } from "../../../master/namespace/keys.ts";
import { Refusal } from "../../../master/namespace/refusal.ts";
import type { Facts } from "../../../master/namespace/refusal-reason.ts";
import {
  type FactsOf,
  REASONS,
  type Reason,
  wordsOfRefusal,
} from "../../../master/namespace/refusal-words.ts";
import { frozenRefusal } from "../../../master/namespace/refusal-words-0-1.ts";
import { errorOfRefused } from "../../../master/namespace/refused-answer.ts";
import { OUTCOMES } from "../../../master/namespace/tables.ts";
import type { LogIndex } from "../../../shared/base/ids.ts";
import { ROOT_URL } from "../../support/repository.ts";
import { makeCaseTree } from "./case-operations.ts";
import { raiseTo, TestStateMachine } from "./harness.ts";
import { REFUSED_CASES, type RefusedCase } from "./refused-cases.ts";
import { NOT_KEPT, STORED_REASONS } from "./stored-reasons.ts";

/** The other reasons that `REFUSED_CASES` does not have: their facts, and their words in the row. */
const OTHER_WORDS: { readonly [Id in Reason]?: readonly [FactsOf<Id>, string] } = {
  "restore-size": [
    { chunkCount: 5, max: 4 },
    "Cannot restore 5 chunks more: expected at most 4 in one transaction",
  ],
  "class-invalid": [
    { name: "safe", copies: 1, copiesMin: 2 },
    'Cannot define the storage class "safe": expected a name and copiesMin in [1, 1]: copiesMin is 2',
  ],
  // Version 0.1.0 does not have these.
  "retention-invalid": [
    { retentionMs: 5, max: 4 },
    "Cannot set the retention of the history: expected at most 4 ms: current value is 5",
  ],
  "entry-units": [{ max: 4 }, "Cannot apply the change: expected at most 4 units of work"],
  depth: [
    { depth: 5, max: 4 },
    "Cannot make a name at depth 5: expected at most 4 names from the root",
  ],
  "tree-staged": [{ id: "7a" }, "Cannot stage the tree 7a: the session has it already"],
  "upload-short": [
    { id: "7a", position: 5, chunkCount: 4 },
    "Cannot stage chunks at position 5 of upload 7a: expected at most 4, the number of its chunks",
  ],
  "upload-differs": [
    { id: "7a", chunkId: "c1", position: 5, expected: "c2" },
    "Cannot stage chunk c1 at position 5 of upload 7a: expected chunk c2",
  ],
  "upload-chunk-length": [
    { chunkId: "c1", max: 4, actual: 5 },
    "Cannot stage chunk c1: expected 1 to 4 bytes: current value is 5",
  ],
  "upload-chunks": [
    { count: 5, max: 4 },
    "Cannot stage 5 chunks in one upload: expected at most 4",
  ],
  "session-uploads": [
    { count: 5, max: 4 },
    "Cannot stage 5 unfinished uploads in one session: expected at most 4",
  ],
  "session-chunks": [
    { count: 5, max: 4 },
    "Cannot stage 5 chunks in the unfinished uploads of one session: expected at most 4",
  ],
};

/** The facts of the reasons of later levels than FEATURE_LEVEL_REASONS, which were never stored in words. */
const LATER_FACTS: { readonly [Id in Reason]?: FactsOf<Id> } = {
  "upload-missing": { id: "7a", level: 11 },
  "upload-sizes": { id: "7a", sizeBytes: 9, chunkSizeBytes: 4, actual: 8, chunkCount: 2 },
};

/** The outcome of a case, as the leader gets it, and its row in the store. */
interface Kept {
  readonly machine: TestStateMachine;
  readonly command: Command;
  readonly outcome: Refused;
  readonly row: Uint8Array;
}

async function refuse({ operation, precondition }: RefusedCase, level: number): Promise<Kept> {
  const machine = await TestStateMachine.make();
  makeCaseTree(machine);
  if (level > 1) machine.apply(raiseTo(level));
  const attempt = machine.nextAttempt();
  const command: Command = {
    kind: "transact",
    nowMs: machine.nowMs,
    attempt,
    preconditions: precondition === undefined ? [] : [precondition],
    operations: operation === undefined ? [] : [operation],
  };
  const outcome = machine.apply(command);
  assert.ok(!outcome.ok);
  await machine.namespace.flush();
  const row = machine.store.get(textToBytes(outcomeKey(attempt.sessionId, attempt.sequence)));
  assert.ok(row !== undefined);
  return { machine, command, outcome, row: new Uint8Array(row) };
}

const rowOf = (outcome: Outcome): Uint8Array => OUTCOMES.encode(outcome, outcomeKey(1 as never, 1));
const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("utf8");

describe("the outcome of a refused transaction", () => {
  it("is stored in the words of version 0.1.0 below the level of reasons", async () => {
    for (const refused of REFUSED_CASES) {
      const { outcome, row } = await refuse(refused, 1);
      assert.equal(outcome.reason, refused.reason, refused.words);
      assert.equal(outcome.frozen?.words, refused.words);
      assert.ok(textOf(row).includes(refused.words), refused.words);
      const { path } = outcome.details;
      if (path === undefined) continue;
      assert.equal(outcome.frozen.details["path"], `"${path}"`);
    }
  });

  it("is stored as a reason with facts from the level of reasons on", async () => {
    for (const refused of REFUSED_CASES) {
      const { outcome, row } = await refuse(refused, FEATURE_LEVEL_REASONS);
      assert.equal(outcome.frozen, null);
      const text = textOf(row);
      assert.ok(text.includes(refused.reason), refused.reason);
      for (const words of ["Cannot", "No such", "expected ", "something", "Not a", "Is a"]) {
        assert.ok(!text.includes(words), `${refused.reason}: ${text}`);
      }
    }
  });

  it("has the same error after a restart, and the same details in both forms", async () => {
    for (const refused of REFUSED_CASES) {
      const answers: unknown[] = [];
      for (const level of [1, FEATURE_LEVEL_REASONS]) {
        const { machine, command, outcome } = await refuse(refused, level);
        const first = errorOfRefused(outcome);
        machine.restart();
        const again = machine.apply(command);
        assert.ok(!again.ok);
        const { code, details, message } = errorOfRefused(again);
        assert.deepEqual({ code, details }, { code: first.code, details: first.details });
        assert.equal(message, level === 1 ? refused.words : first.message);
        answers.push({ code, details, first: first.message });
      }
      // The entry that raises the level moves the newest index.
      if (refused.reason !== "index-unapplied") assert.deepEqual(answers[0], answers[1]);
    }
  });

  it("is answered with its path without quotes", async () => {
    const refused = REFUSED_CASES.find(({ reason }) => reason === "not-empty");
    assert.ok(refused !== undefined);
    for (const level of [1, FEATURE_LEVEL_REASONS]) {
      const { machine, command, outcome } = await refuse(refused, level);
      machine.restart();
      for (const answered of [outcome, machine.apply(command)]) {
        assert.ok(!answered.ok);
        assert.equal(errorOfRefused(answered).details["path"], "/d");
      }
    }
  });

  it("has bytes that do not depend on the order of facts and details", async () => {
    const fields = { ok: false, index: 5 as LogIndex, operationIndex: 0, frozen: null } as const;
    const common = { ...fields, code: "NOT_EMPTY", reason: "not-empty" } as const;
    const one = { facts: { path: "/d", entryCount: 1 }, details: { a: { x: 1, y: [2] }, b: 3 } };
    const two = { facts: { entryCount: 1, path: "/d" }, details: { b: 3, a: { y: [2], x: 1 } } };
    assert.deepEqual(rowOf({ ...common, ...one }), rowOf({ ...common, ...two }));
  });
});

describe("the words of a refusal", () => {
  it("exist in the form of version 0.1.0 for every reason that a session keeps below level 8", () => {
    const others = Object.entries(OTHER_WORDS) as [Reason, readonly [Facts, string]][];
    for (const [reason, [facts, words]] of others) {
      assert.equal(frozenRefusal(new Refusal(reason, facts), undefined).words, words);
    }
    const covered = new Set<string>(
      [...REFUSED_CASES, ...NOT_KEPT.map((reason) => ({ reason }))].map(({ reason }) => reason),
    );
    for (const [reason] of others) covered.add(reason);
    // A reason of a later level has no such words, and needs no line here.
    for (const reason of Object.keys(REASONS) as Reason[]) {
      if (covered.has(reason)) continue;
      assert.equal(frozenRefusal(new Refusal(reason, {}), undefined).words, reason);
    }
  });

  it("belong to reasons whose codes and facts are as they were stored", async () => {
    const stored: Record<string, string> = {};
    const note = (reason: Reason, facts: Facts): void => {
      const { code } = REASONS[reason];
      stored[reason] = [code, ...Object.keys(facts).sort()].join(" ");
    };
    for (const refused of REFUSED_CASES) {
      note(refused.reason, (await refuse(refused, FEATURE_LEVEL_REASONS)).outcome.facts);
    }
    for (const [reason, [facts]] of Object.entries(OTHER_WORDS)) note(reason as Reason, facts);
    for (const [reason, facts] of Object.entries(LATER_FACTS)) note(reason as Reason, facts);
    assert.deepEqual(stored, STORED_REASONS);
  });

  it("are made from the code and the path for a reason of a newer version", () => {
    const newer = { reason: "newer-reason", facts: { path: "/a" } };
    assert.equal(wordsOfRefusal({ ...newer, code: "NOT_FOUND" }), "No such file or directory: /a");
    assert.equal(
      wordsOfRefusal({ ...newer, code: "TOO_LARGE" }),
      "Cannot apply the change: a newer version refused it with TOO_LARGE (newer-reason)",
    );
  });

  it("are in the catalog only: no other code of the namespace words a refusal", async () => {
    const folder = new URL("master/namespace/", ROOT_URL);
    const made: string[] = [];
    for (const name of await readdir(folder)) {
      const text = await readFile(new URL(name, folder), "utf8");
      // `refusal("reason", …)` is the rule. The constructor is for a refusal with a lookup.
      for (const [match] of text.matchAll(/new Refusal\([^)]*|refusal\(\s*[^\s"a-z][^)]*/g)) {
        made.push(`${name}: ${match}`);
      }
    }
    assert.deepEqual(made.sort(), [
      "refusal.ts: new Refusal(reason, facts as Facts, { details }",
      "transaction.ts: new Refusal(reason, facts, { details, lookup }",
      "tree.ts: new Refusal(reason, facts as Facts, { lookup }",
    ]);
  });
});
