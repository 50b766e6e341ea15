import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  FEATURE_LEVEL_FIRST,
  FEATURE_LEVEL_MAX,
} from "../../../master/namespace/feature-levels.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { LogIndex } from "../../../shared/base/ids.ts";
import { LmdbStores } from "../../../shared/platform/lmdb-store.ts";
import type { Attributes } from "../../../shared/protocol/attributes.ts";
import type { PathVersion } from "../../../shared/protocol/history-api.ts";
import { TempDirectory } from "../../support/temp-directory.ts";
import {
  assertOk,
  at,
  codeOf,
  DAY_MS,
  dump,
  messageOf,
  raiseTo,
  serverId,
  TestStateMachine,
} from "./harness.ts";
import { checkInvariants } from "./invariants.ts";
import { type Step, step } from "./random-operations.ts";
import { pathsOf, TreeModel } from "./tree-model.ts";

const steps = fc.array(step, { minLength: 1, maxLength: 40 });
const recordsMaxes = fc.integer({ min: 1, max: 20 });
const level = fc.constantFrom(FEATURE_LEVEL_FIRST, FEATURE_LEVEL_MAX);

/** Returns a state machine at a feature level, and a model with the same state. */
async function makePair(featureLevel: number): Promise<[TestStateMachine, TreeModel]> {
  const machine = await TestStateMachine.make();
  const model = new TreeModel();
  model.saveState(machine.index, machine.namespace.oldestReadableIndex());
  assertOk(machine.apply(raiseTo(featureLevel)));
  return [machine, model];
}

/**
 * Replays the leader's log, with a flush after the entries whose index modulo 7 is in `flushAt`.
 */
async function replayLog(
  follower: TestStateMachine,
  leader: TestStateMachine,
  flushAt: ReadonlySet<number>,
): Promise<void> {
  for (const { index, data } of leader.log.slice(follower.log.length)) {
    follower.applyData(data);
    if (flushAt.has(index % 7)) await follower.namespace.flush();
  }
}

async function runStep(machine: TestStateMachine, planned: Step, model: TreeModel): Promise<void> {
  model.saveState(machine.index, machine.namespace.oldestReadableIndex());
  switch (planned.kind) {
    case "transact": {
      const operations = planned.operations.map((plan) => plan(machine.index));
      const outcome = machine.transact(operations);
      assert.equal(codeOf(outcome), model.transact(operations), messageOf(outcome));
      return;
    }
    case "flush":
      return machine.namespace.flush();
    case "restart":
      return machine.restart();
    case "reopen-session":
      machine.closeSession();
      model.closeSession();
      model.saveState(machine.index, machine.namespace.oldestReadableIndex());
      machine.openSession();
      return;
    case "pass-time":
      machine.nowMs += planned.ms;
      return;
    case "reclaim":
      machine.apply({ ...planned, nowMs: machine.nowMs });
  }
}

describe("the namespace under random transactions", () => {
  it("agrees with a model, at present and as of every readable index", async () => {
    await fc.assert(
      fc.asyncProperty(steps, level, async (list, featureLevel) => {
        const [machine, model] = await makePair(featureLevel);
        const past: { index: LogIndex; paths: Map<string, string> }[] = [];
        for (const planned of list) {
          await runStep(machine, planned, model);
          assert.deepEqual(pathsOf(machine.namespace), model.paths());
          past.push({ index: machine.index, paths: model.paths() });
        }
        for (const { index, paths } of past) {
          if (index < machine.namespace.oldestReadableIndex()) continue;
          assert.deepEqual(pathsOf(machine.namespace, { at: index }), paths, `as of ${index}`);
        }
      }),
      { numRuns: 300 },
    );
  });

  it("has a history of every path that agrees with reads of the past", async () => {
    await fc.assert(
      fc.asyncProperty(steps, fc.integer({ min: 1, max: 4 }), async (list, limit) => {
        const machine = await TestStateMachine.make();
        const model = new TreeModel();
        const paths = new Set(["/"]);
        for (const planned of list) {
          await runStep(machine, planned, model);
          for (const path of model.paths().keys()) paths.add(path);
        }
        for (const path of paths) checkPathHistory(machine, path, limit);
      }),
      { numRuns: 150 },
    );
  });

  it("keeps its invariants after every step, and only the root after everything is removed", async () => {
    await fc.assert(
      fc.asyncProperty(steps, level, recordsMaxes, async (list, featureLevel, recordsMax) => {
        const [machine, model] = await makePair(featureLevel);
        for (const planned of list) {
          await runStep(machine, planned, model);
          await machine.namespace.flush();
          checkInvariants(machine.store);
        }
        const top = machine.namespace.list({ path: Uint8Array.of(0x2f) }, { limit: 100 }).entries;
        for (const { attributes } of top) {
          machine.run({ kind: "remove-tree", target: { inode: attributes.inode } });
        }
        machine.closeSession();
        machine.nowMs += list.length * DAY_MS; // Compensates all clocks that went back.
        machine.expireAndReclaim(recordsMax);
        await finishAll(machine);
        checkInvariants(machine.store);
        // Meta, the root directory, the storage class and times.
        assert.deepEqual(tablesLeft(machine), ["M", "d", "i", "t", "w"]);
        assert.equal(machine.namespace.counters().chunkCount, 0);
        assert.equal(machine.namespace.counters().logicalBytes, 0);
        assert.equal(machine.namespace.counters().stagedBytes, 0);
      }),
      { numRuns: 150 },
    );
  });

  it("has equal bytes on every member, independent of flushes and restarts", async () => {
    await using directory = await TempDirectory.make();
    const stores = new LmdbStores(directory.path);
    let run = 0;
    await fc.assert(
      fc.asyncProperty(steps, fc.array(fc.integer({ min: 0, max: 6 })), async (list, flushAt) => {
        run += 1;
        const [leader] = await makePair(FEATURE_LEVEL_MAX);
        const follower = await TestStateMachine.empty(await stores.open(`run-${run}`));
        for (const planned of list)
          await runStep(leader, planned, new TreeModel()).catch(ignoreModel);
        await replayLog(follower, leader, new Set(flushAt));
        follower.restart();
        await leader.namespace.flush();
        await follower.namespace.flush();
        assert.deepEqual(dump(follower.store), dump(leader.store));
        await follower.store.close();
      }),
      { numRuns: 25 },
    );
  });
});

/** Checks that the last version of a path up to each index agrees with a read as of this index. */
function checkPathHistory(
  { namespace, index }: TestStateMachine,
  path: string,
  limit: number,
): void {
  const versions: PathVersion[] = [];
  const target = at(path);
  for (let from: LogIndex | null | undefined; from !== null; ) {
    const page = namespace.history({ path: target.path as Uint8Array, from, limit });
    assert.ok(page.versions.length <= limit);
    versions.push(...page.versions);
    from = page.next;
  }
  const oldest = Math.max(2, namespace.oldestReadableIndex());
  for (let read = oldest; read <= index; read += 1) {
    const last = versions.filter((version) => version.index <= read).at(-1)?.attributes ?? null;
    let stat: Attributes | null = null;
    try {
      stat = namespace.stat(target, read as LogIndex);
    } catch (error) {
      if (!isAshlarError(error, "NOT_FOUND") && !isAshlarError(error, "NOT_A_DIRECTORY"))
        throw error;
    }
    assert.deepEqual(versionedFields(last), versionedFields(stat), `${path} as of ${read}`);
  }
}

/** Returns the attributes without the fields of a directory that have no history. */
function versionedFields(attributes: Attributes | null): unknown {
  if (attributes?.kind !== "directory") return attributes;
  const { inode, mode, uid, gid } = attributes;
  return { inode, mode, uid, gid };
}

/** Ignores errors of the model: the test of equal bytes needs the log only. */
function ignoreModel(error: unknown): void {
  if (!(error instanceof assert.AssertionError)) throw error;
}

/** Completes all purges and raises the intent floor above all tombstones. */
async function finishAll(machine: TestStateMachine): Promise<void> {
  const { namespace } = machine;
  machine.applyData(new Uint8Array()); // The floor must be above the last removal.
  machine.apply({ kind: "raise-intent-floor", floor: machine.index });
  const servers = ["s1", "s2", "p", "q", "r", "s", "t"];
  for (const name of servers) {
    const purges = namespace.purgesOf(serverId(name), 100);
    const items = purges.map((purge) => ({ ...purge, serverId: serverId(name) }));
    machine.apply({ kind: "finish-purges", items });
  }
  machine.reclaimAll();
  await namespace.flush();
}

/** Returns the sorted first bytes of all keys in the store. */
function tablesLeft(machine: TestStateMachine): string[] {
  const bytes = dump(machine.store).map((line) =>
    String.fromCharCode(Number.parseInt(line.slice(0, 2), 16)),
  );
  return [...new Set(bytes)].sort();
}
