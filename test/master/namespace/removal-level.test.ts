import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { NamespaceOperation } from "../../../master/namespace/command.ts";
import { FEATURE_LEVEL_REMOVED } from "../../../master/namespace/feature-levels.ts";
import { toHex } from "../../../shared/base/bytes.ts";
import type { LogIndex } from "../../../shared/base/ids.ts";
import { create, makeDirectory } from "./bounded-machine.ts";
import {
  assertOk,
  at,
  chunksContent,
  DAY_MS,
  dump,
  inline,
  OWNER,
  raiseTo,
  SECOND_MS,
  sealed,
  TestStateMachine,
} from "./harness.ts";
import { checkInvariants } from "./invariants.ts";
import { step } from "./random-operations.ts";
import { checkEmptied, checkPathHistory, makePair, replayLog, runStep } from "./random-run.ts";
import { pathsOf } from "./tree-model.ts";

const BELOW = FEATURE_LEVEL_REMOVED - 1;
const half = fc.array(step, { minLength: 1, maxLength: 25 });

const unlink = (path: string) => ({ kind: "unlink", target: at(path) }) as const;
const put = (path: string, content: ReturnType<typeof inline | typeof chunksContent>) =>
  ({ kind: "put", target: at(path), content, replace: true, ...OWNER }) as const;

/** Makes a machine at a level, with the file `/d/f`. */
async function machineWithFile(level: number): Promise<TestStateMachine> {
  const machine = await TestStateMachine.make();
  assertOk(machine.apply(raiseTo(level)));
  machine.run(makeDirectory("/d"));
  machine.run(create("/d/f"));
  return machine;
}

/** Returns how many rows a step adds to the tables of entries, history, inodes and the reclaim queue. */
async function rowsAdded(machine: TestStateMachine, run: () => void): Promise<object> {
  const count = async (): Promise<Map<string, number>> => {
    await machine.namespace.flush();
    const counts = new Map([..."ehiq"].map((table) => [table, 0]));
    for (const row of dump(machine.store)) {
      const table = String.fromCharCode(Number.parseInt(row.slice(0, 2), 16));
      if (counts.has(table)) counts.set(table, (counts.get(table) ?? 0) + 1);
    }
    return counts;
  };
  const before = await count();
  run();
  const after = await count();
  return Object.fromEntries(
    [...after].map(([table, rows]) => [table, rows - (before.get(table) ?? 0)]),
  );
}

describe("a removal", () => {
  it("leaves one row of the queue and no inode from level 14 on, and reclaim deletes all that it left", async () => {
    const left = {
      [BELOW]: { e: -1, h: 2, i: 0, q: 3 },
      [FEATURE_LEVEL_REMOVED]: { e: -1, h: 2, i: -1, q: 1 },
    };
    for (const [level, expected] of Object.entries(left)) {
      const machine = await machineWithFile(Number(level));
      assert.deepEqual(await rowsAdded(machine, () => machine.run(unlink("/d/f"))), expected);
      machine.expireAndReclaim();
      await machine.namespace.flush();
      checkInvariants(machine.store);
      assert.equal(machine.namespace.counters().historyVersions, 0);
    }
  });

  it("has its time in the history of the path, to the millisecond", async () => {
    for (const level of [BELOW, FEATURE_LEVEL_REMOVED]) {
      const machine = await machineWithFile(level);
      const times: number[] = [];
      const run = (operation: NamespaceOperation): void => {
        machine.nowMs += 123;
        times.push(machine.nowMs);
        machine.run(operation);
      };
      run(unlink("/d/f"));
      run(create("/d/f"));
      run(create("/d/g"));
      run({ kind: "rename", from: at("/d/g"), to: at("/d/f"), noReplace: false });
      run({ kind: "remove-tree", target: at("/d") });
      const path = at("/d/f").path as Uint8Array;
      const { versions } = machine.namespace.history({ path, limit: 10 });
      assert.deepEqual(
        versions.slice(1).map(({ change, timeMs }) => [change, timeMs]),
        ["removed", "created", "replaced", "removed"].map((change, index) => [
          ...[change, times[index < 2 ? index : index + 1]],
        ]),
      );
    }
  });

  it("in the entry that wrote the inode leaves nothing in the history", async () => {
    const machine = await machineWithFile(FEATURE_LEVEL_REMOVED);
    const rename = { kind: "rename", from: at("/d/f"), to: at("/d/h"), noReplace: false } as const;
    const content = chunksContent(sealed("a"));
    machine.run(
      create("/d/g"),
      unlink("/d/g"),
      put("/d/g", content),
      unlink("/d/g"),
      rename,
      unlink("/d/h"),
    );
    await machine.namespace.flush();
    checkInvariants(machine.store);
    machine.expireAndReclaim(1);
    await machine.namespace.flush();
    checkInvariants(machine.store);
    assert.equal(machine.namespace.counters().chunkCount, 0);
  });

  it("of a tree is reclaimed in steps of one record, over a raise of the level", async () => {
    for (const [before, after] of [
      [BELOW, FEATURE_LEVEL_REMOVED],
      [FEATURE_LEVEL_REMOVED, FEATURE_LEVEL_REMOVED],
    ] as const) {
      const machine = await machineWithFile(before);
      machine.run(
        makeDirectory("/d/e/g", true),
        put("/d/e/c", chunksContent(sealed("a"), sealed("b"))),
      );
      machine.run({ kind: "remove-tree", target: at("/d") });
      machine.nowMs += DAY_MS;
      assertOk(machine.apply(raiseTo(after)));
      machine.run(create("/later"));
      machine.nowMs += DAY_MS + SECOND_MS;
      const { nowMs } = machine;
      for (let count = 0; machine.namespace.reclaimPending(nowMs); count += 1) {
        assert.ok(count < 200, "reclaim ends");
        assertOk(machine.apply({ kind: "reclaim", nowMs, recordsMax: 1 }));
        await machine.namespace.flush();
        checkInvariants(machine.store);
      }
      const { fileCount, directoryCount, chunkCount } = machine.namespace.counters();
      assert.deepEqual([fileCount, directoryCount, chunkCount], [1, 1, 0]);
    }
  });
});

describe("a raise to level 14 within a history", () => {
  it("keeps every readable state, and leaves nothing after everything is removed", async () => {
    await fc.assert(
      fc.asyncProperty(
        half,
        half,
        fc.integer({ min: 1, max: 20 }),
        async (below, above, recordsMax) => {
          const [machine, model] = await makePair(BELOW);
          const past = new Map<LogIndex, Map<string, string>>();
          const times = new Map<LogIndex, number>();
          const paths = new Set(["/"]);
          const run = async (list: typeof below): Promise<void> => {
            for (const planned of list) {
              await runStep(machine, planned, model);
              await machine.namespace.flush();
              checkInvariants(machine.store);
              past.set(machine.index, model.paths());
              times.set(machine.index, machine.namespace.clockMs);
              for (const path of model.paths().keys()) paths.add(path);
            }
          };
          await run(below);
          model.saveState(machine.index, machine.namespace.oldestReadableIndex());
          assertOk(machine.apply(raiseTo(FEATURE_LEVEL_REMOVED)));
          await run(above);
          assert.deepEqual(pathsOf(machine.namespace), model.paths());
          for (const [index, expected] of past) {
            if (index < machine.namespace.oldestReadableIndex()) continue;
            assert.deepEqual(pathsOf(machine.namespace, { at: index }), expected, `as of ${index}`);
          }
          for (const path of paths) checkPathHistory(machine, path, { limit: 3, times });
          const follower = await TestStateMachine.empty();
          await replayLog(follower, machine, new Set([recordsMax % 7]));
          await follower.namespace.flush();
          assert.deepEqual(dump(follower.store), dump(machine.store));
          await checkEmptied(machine, { days: below.length + above.length, recordsMax });
        },
      ),
      { numRuns: 100 },
    );
  });
});

describe("a cluster below level 14", () => {
  it("has the states of the versions without it", async () => {
    const machine = await machineWithFile(BELOW);
    machine.run(put("/d/c", chunksContent(sealed("a"), sealed("b"))), put("/d/i", inline("x")));
    machine.run(unlink("/d/f"), create("/d/f"), unlink("/d/f"));
    machine.run({ kind: "rename", from: at("/d/i"), to: at("/d/c"), noReplace: false });
    machine.run({ kind: "remove-tree", target: at("/d") });
    machine.run(create("/g"));
    const hashes: string[] = [];
    for (let round = 0; round < 3; round += 1) {
      await machine.namespace.flush();
      hashes.push(toHex(machine.namespace.durableMark.stateHash));
      machine.nowMs += DAY_MS;
      assertOk(machine.apply({ kind: "reclaim", nowMs: machine.nowMs, recordsMax: 7 }));
    }
    // Computed with the version before level 14.
    assert.deepEqual(hashes, [
      "5ca40d4232f75a87b85d2e37ac8c4573",
      "b15d4ec838a933cde8ef223df8ecf2b9",
      "84d7a24f495d186d1d87a258ee9c4887",
    ]);
  });
});
