import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  FEATURE_LEVEL_FIRST,
  FEATURE_LEVEL_MAX,
} from "../../../master/namespace/feature-levels.ts";
import type { LogIndex } from "../../../shared/base/ids.ts";
import { LmdbStores } from "../../../shared/platform/lmdb-store.ts";
import { TempDirectory } from "../../support/temp-directory.ts";
import { dump, TestStateMachine } from "./harness.ts";
import { checkInvariants } from "./invariants.ts";
import { step } from "./random-operations.ts";
import { checkEmptied, checkPathHistory, makePair, replayLog, runStep } from "./random-run.ts";
import { pathsOf, TreeModel } from "./tree-model.ts";

const steps = fc.array(step, { minLength: 1, maxLength: 40 });
const recordsMaxes = fc.integer({ min: 1, max: 20 });
const level = fc.constantFrom(FEATURE_LEVEL_FIRST, FEATURE_LEVEL_MAX);

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
      fc.asyncProperty(steps, fc.integer({ min: 1, max: 4 }), level, async (list, limit, at) => {
        const [machine, model] = await makePair(at);
        const paths = new Set(["/"]);
        const times = new Map<LogIndex, number>();
        for (const planned of list) {
          await runStep(machine, planned, model);
          times.set(machine.index, machine.namespace.clockMs);
          for (const path of model.paths().keys()) paths.add(path);
        }
        for (const path of paths) checkPathHistory(machine, path, { limit, times });
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
        await checkEmptied(machine, { days: list.length, recordsMax });
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

/** Ignores errors of the model: the test of equal bytes needs the log only. */
function ignoreModel(error: unknown): void {
  if (!(error instanceof assert.AssertionError)) throw error;
}
