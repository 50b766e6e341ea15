import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { NamespaceOperation, Outcome } from "../../../master/namespace/command.ts";
import { encodeCommand } from "../../../master/namespace/command-encoding.ts";
import {
  checkLeastCost,
  DETAILS_UNITS_MAX,
  ENTRY_UNITS_MAX,
} from "../../../master/namespace/cost.ts";
import { FEATURE_LEVEL_REMOVED } from "../../../master/namespace/feature-levels.ts";
import { ReadBudget } from "../../../master/namespace/read-budget.ts";
import type { SessionId } from "../../../shared/base/ids.ts";
import { DEPTH_MAX } from "../../../shared/base/path.ts";
import { SESSION_OUTCOMES_MAX } from "../../../shared/protocol/transact-api.ts";
import {
  boundCost,
  boundedMachine,
  chunksNamed,
  create,
  makeDirectory,
  put,
} from "./bounded-machine.ts";
import {
  assertOk,
  at,
  codeOf,
  dump,
  inline,
  MIB,
  OWNER,
  raiseTo,
  serverId,
  stagingId,
  TestStateMachine,
} from "./harness.ts";

/** Most units of the record of an outcome: a session may drop all its old outcomes at once. */
const OUTCOME_UNITS_MAX = 2_200;

const creates = (count: number, prefix: string): NamespaceOperation[] =>
  Array.from({ length: count }, (_, number) => create(`${prefix}${number}`));

/** Makes a file in `/d` with many positions of one chunk, in several steps. */
function makeLargeFile(machine: TestStateMachine, chunkCount: number): void {
  const [chunk] = chunksNamed(1, "one");
  assert.ok(chunk !== undefined);
  machine.run(put("/d/large", [chunk]));
  const reference = { ...chunk, replicas: [] };
  for (let count = 1; count < chunkCount; ) {
    const more = Math.min(500, chunkCount - count);
    const changes = Array.from({ length: more }, (_, number) => ({
      position: count + number,
      expected: null,
      chunk: reference,
    }));
    const sizeBytes = (count + more) * MIB;
    const target = at("/d/large");
    machine.run({
      kind: "commit-chunks",
      target,
      sizeBytesExpected: count * MIB,
      sizeBytes,
      changes,
    });
    count += more;
  }
}

const commitNothing = (chunkCount: number): NamespaceOperation => ({
  kind: "commit-chunks",
  target: at("/d/large"),
  sizeBytesExpected: chunkCount * MIB,
  sizeBytes: chunkCount * MIB,
  changes: [],
});

function assertTooLarge(outcome: Outcome): void {
  assert.equal(codeOf(outcome), "TOO_LARGE");
  assert.ok(!outcome.ok);
  assert.deepEqual(outcome.details, { limit: "entry-units", max: ENTRY_UNITS_MAX });
}

describe("the cost of an entry", () => {
  const EXPENSIVE: readonly (readonly [
    name: string,
    operations: (machine: TestStateMachine) => NamespaceOperation[],
  ])[] = [
    ["many operations", () => creates(9_000, "/d/f")],
    [
      "commits that read a long list of chunks",
      (machine) => {
        makeLargeFile(machine, 1_000);
        return Array.from({ length: 100 }, () => commitNothing(1_000));
      },
    ],
    ["a long list of new chunks", () => [put("/d/new", chunksNamed(1_000, "n"))]],
    [
      "many deep paths",
      () =>
        Array.from({ length: 100 }, (_, number) =>
          makeDirectory(`/d/${number}${"/a".repeat(DEPTH_MAX - 2)}`, true),
        ),
    ],
    ["long contents", () => longContents(1_200)],
  ];
  for (const [name, operationsOf] of EXPENSIVE) {
    it(`is bounded: ${name}`, async () => {
      const machine = await boundedMachine();
      const operations = operationsOf(machine);
      await machine.namespace.flush();
      const before = dump(machine.store);
      const outcome = machine.transact(operations);
      assertTooLarge(outcome);
      assert.ok(machine.namespace.entryUnits <= ENTRY_UNITS_MAX + OUTCOME_UNITS_MAX);
      await machine.namespace.flush();
      // Rows of the session, its outcome, the time, and the position of the state.
      const changed = dump(machine.store).filter((row) => !before.includes(row));
      assert.ok(changed.length <= 6, changed.join("\n"));
    });
  }

  it("is bounded for a change of the storage class of a file with many chunks", async () => {
    const machine = await TestStateMachine.make();
    machine.run(makeDirectory("/d"));
    makeLargeFile(machine, 3_000);
    boundCost(machine);
    const storageClass = { name: "four", copies: 4, copiesMin: 2, racksMin: 1 };
    const { nowMs } = machine;
    const attempt = machine.nextAttempt();
    assertOk(machine.apply({ kind: "define-storage-class", nowMs, attempt, storageClass }));
    const target = at("/d/large");
    assertTooLarge(machine.transact([{ kind: "set-storage-class", target, storageClass: "four" }]));
  });

  it("gives a refused command the same outcome again, and continues after it", async () => {
    const machine = await boundedMachine();
    const { nowMs } = machine;
    const attempt = machine.nextAttempt();
    const operations = creates(2_000, "/d/f");
    const command = { kind: "transact", nowMs, attempt, preconditions: [], operations } as const;
    const first = machine.apply(command);
    assertTooLarge(first);
    assert.deepEqual(machine.apply(command), first);
    machine.run(...creates(1_000, "/d/f"));
  });

  it("leaves no details out of another refusal, however near to the bound that is", async () => {
    const machine = await boundedMachine();
    const path = `/d${"/deep".repeat(300)}`;
    machine.run(makeDirectory(path, true));
    const reasons = new Set<string | null>();
    for (let count = 1_250; count < 1_450; count += 5) {
      const outcome = machine.transact([...creates(count, "/d/f"), create(path)]);
      assert.ok(!outcome.ok);
      reasons.add(outcome.reason);
      if (outcome.reason === "entry-units") continue;
      const { found } = outcome.details;
      assert.deepEqual(Object.keys(outcome.details).sort(), ["found", "path"], `${count} creates`);
      assert.equal((found as { kind: string }).kind, "directory");
    }
    assert.deepEqual([...reasons], ["name-taken", "entry-units"]);
  });

  it("is bounded for the details of a refusal, however deep the target is", async () => {
    const machine = await TestStateMachine.make();
    const path = "/x".repeat(20_000);
    machine.run(makeDirectory(path, true));
    boundCost(machine);
    const { inode } = machine.namespace.stat(at(path), undefined, new ReadBudget(1e6));
    const operation = {
      kind: "rename",
      from: at("/none"),
      to: { inode },
      noReplace: false,
    } as const;
    const outcome = machine.transact([operation]);
    assert.ok(!outcome.ok && outcome.reason === "name-unknown");
    assert.deepEqual(outcome.details, {});
    assert.ok(machine.namespace.entryUnits <= DETAILS_UNITS_MAX + 100);
  });

  it("is the same on every member, with and without a flush", async () => {
    const flushed = await boundedMachine();
    const replayed = await boundedMachine();
    for (const count of [1_300, 1_400, 1_500]) {
      const operations = creates(count, `/d/${count}-`);
      await flushed.namespace.flush();
      assert.deepEqual(flushed.transact(operations), replayed.transact(operations));
      assert.equal(flushed.namespace.entryUnits, replayed.namespace.entryUnits);
    }
  });

  it("has no bound below its feature level, so that an old log has the same effect", async () => {
    const machine = await TestStateMachine.make();
    machine.run(makeDirectory("/d"), ...creates(3_000, "/d/f"));
    assert.ok(machine.namespace.entryUnits > ENTRY_UNITS_MAX);
    machine.run(makeDirectory("/a".repeat(2 * DEPTH_MAX), true));
  });

  const sessionCount = ({ namespace }: TestStateMachine): number =>
    namespace.sessions({ after: null, limit: 10 }).length;

  it("bounds the sessions that one entry closes: the leader proposes the others again", async () => {
    const machine = await boundedMachine();
    const sessionIds: SessionId[] = [];
    for (let session = 0; session < 3; session += 1) {
      const sessionId = machine.openSession();
      sessionIds.push(sessionId);
      for (let sequence = 1; sequence <= SESSION_OUTCOMES_MAX; sequence += 1) {
        const attempt = { sessionId, sequence, firstUnacknowledged: 1 };
        const { nowMs } = machine;
        const operations = [{ kind: "unlink", target: at("/d/none") } as const];
        machine.apply({ kind: "transact", nowMs, attempt, preconditions: [], operations });
      }
    }
    const counts: number[] = [];
    while (counts.length < 4 && sessionCount(machine) > 1) {
      assertOk(machine.apply({ kind: "expire-sessions", nowMs: machine.nowMs, sessionIds }));
      assert.ok(machine.namespace.entryUnits <= ENTRY_UNITS_MAX + OUTCOME_UNITS_MAX);
      counts.push(sessionCount(machine));
    }
    assert.deepEqual(counts, [3, 2, 1]);
  });

  it("is refused before it is proposed if its size alone is too large", () => {
    const costOf = (operations: readonly NamespaceOperation[]): void => {
      const attempt = { sessionId: 1 as SessionId, sequence: 1, firstUnacknowledged: 1 };
      const command = {
        kind: "transact",
        nowMs: 1,
        attempt,
        preconditions: [],
        operations,
      } as const;
      checkLeastCost(command, encodeCommand(command).length);
    };
    const tooLarge = { code: "TOO_LARGE", details: { limit: "entry-units", max: ENTRY_UNITS_MAX } };
    costOf(creates(1_000, "/d/f"));
    costOf([put("/d/new", chunksNamed(300, "n"))]);
    assert.throws(() => costOf(Array.from({ length: 10_000 }, () => commitNothing(1))), tooLarge);
    assert.throws(() => costOf([put("/d/new", chunksNamed(1_300, "n"))]), tooLarge);
    assert.throws(() => costOf(longContents(1_500)), tooLarge);
  });
});

function longContents(count: number): NamespaceOperation[] {
  const content = inline("x".repeat(4_000));
  const common = { content, replace: true, ...OWNER } as const;
  return Array.from({ length: count }, (_, number) => ({
    kind: "put",
    target: at(`/d/i${number}`),
    ...common,
  }));
}

describe("the units of an operation", () => {
  // They decide which commands are refused: another value needs a feature level.
  it("are those of feature level 7", async () => {
    const machine = await boundedMachine();
    const unitsOf = (...operations: readonly NamespaceOperation[]): number => {
      machine.run(...operations);
      return machine.namespace.entryUnits;
    };
    const found = {
      makeDirectory: unitsOf(makeDirectory("/d/e")),
      create: unitsOf(create("/d/a")),
      elevenCreates: unitsOf(...creates(11, "/d/b")),
      setAttributes: unitsOf({ kind: "set-attributes", target: at("/d/a"), mode: 1 }),
      rename: unitsOf({ kind: "rename", from: at("/d/a"), to: at("/d/c"), noReplace: false }),
      unlink: unitsOf({ kind: "unlink", target: at("/d/c") }),
      putInline: unitsOf({ ...put("/d/i", []), content: inline("x") } as NamespaceOperation),
      put: unitsOf(put("/d/1", chunksNamed(1, "p"))),
      put101: unitsOf(put("/d/101", chunksNamed(101, "q"))),
      references101: unitsOf(
        put(
          "/d/r",
          chunksNamed(101, "q").map((chunk) => ({ ...chunk, replicas: [] })),
        ),
      ),
      commit: unitsOf({ ...commitNothing(101), target: at("/d/r") } as NamespaceOperation),
      copy: unitsOf({
        kind: "copy",
        from: at("/d/r"),
        to: at("/d/s"),
        replace: false,
        preserve: false,
        uid: 0,
        gid: 0,
      }),
      restore101: unitsOf({
        kind: "restore",
        from: at("/d/s"),
        index: machine.index,
        to: at("/d/t"),
        replace: false,
      }),
      stage100: unitsOf({
        kind: "stage",
        id: stagingId("u"),
        target: at("/d/u"),
        position: 0,
        chunks: chunksNamed(100, "s"),
      }),
      unstage: unitsOf({ kind: "unstage", id: stagingId("u") }),
      removeTree: unitsOf({ kind: "remove-tree", target: at("/d/e") }),
      hundredLevels: unitsOf(makeDirectory("/x".repeat(100), true)),
    };
    assert.deepEqual(found, {
      makeDirectory: 30,
      create: 29,
      elevenCreates: 169,
      setAttributes: 35,
      rename: 61,
      unlink: 60,
      putInline: 30,
      put: 79,
      put101: 4_863,
      references101: 1_691,
      commit: 850,
      copy: 42,
      restore101: 1_652,
      stage100: 4_819,
      unstage: 35,
      removeTree: 61,
      hundredLevels: 1_216,
    });
  });

  it("of a removal are fewer from feature level 14 on", async () => {
    const machine = await boundedMachine();
    machine.run(create("/d/a"), create("/d/b"), create("/d/c"), makeDirectory("/d/e"));
    const unitsOf = (operation: NamespaceOperation): number => {
      machine.run(operation);
      return machine.namespace.entryUnits;
    };
    const below = unitsOf({ kind: "unlink", target: at("/d/a") });
    assertOk(machine.apply(raiseTo(FEATURE_LEVEL_REMOVED)));
    const found = {
      unlink: unitsOf({ kind: "unlink", target: at("/d/b") }),
      removeTree: unitsOf({ kind: "remove-tree", target: at("/d/e") }),
      rename: unitsOf({ kind: "rename", from: at("/d/c"), to: at("/d/f"), noReplace: false }),
    };
    assert.deepEqual([below, found], [60, { unlink: 36, removeTree: 37, rename: 61 }]);
  });

  it("count every item of a report", async () => {
    const machine = await boundedMachine();
    machine.run(put("/d/f", chunksNamed(100, "r")));
    const items = chunksNamed(100, "r").map(({ id: chunkId }) => {
      return { chunkId, serverId: serverId("s4"), intentIndex: machine.index, reason: "lost" };
    });
    assertOk(machine.apply({ kind: "add-replicas", items }));
    assert.ok(machine.namespace.entryUnits > 100 * 10);
    const many = Array.from({ length: 50 }, () => items).flat();
    assertTooLarge(machine.apply({ kind: "drop-replicas", items: many }));
    assertOk(machine.apply({ kind: "drop-replicas", items }));
  });
});
