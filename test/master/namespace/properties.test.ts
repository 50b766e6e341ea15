import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { LogIndex } from "../../../shared/base/ids.ts";
import { LmdbStores } from "../../../shared/platform/lmdb-store.ts";
import type { Attributes } from "../../../shared/protocol/attributes.ts";
import type { PathVersion } from "../../../shared/protocol/history-api.ts";
import { TempDirectory } from "../../support/temp-directory.ts";
import { at, codeOf, DAY_MS, dump, serverId, TestStateMachine } from "./harness.ts";
import { checkInvariants } from "./invariants.ts";
import { type Step, step } from "./random-operations.ts";
import { pathsOf, TreeModel } from "./tree-model.ts";

const steps = fc.array(step, { minLength: 1, maxLength: 40 });

/** Replays a log that another machine has written, with a flush after the entries in `flushAt`. */
async function follow(
  follower: TestStateMachine,
  leader: TestStateMachine,
  flushAt: ReadonlySet<number>,
): Promise<void> {
  for (const { index, data } of leader.log.slice(follower.log.length)) {
    follower.applyData(data);
    if (flushAt.has(index % 7)) await follower.namespace.flush();
  }
}

async function runStep(machine: TestStateMachine, wanted: Step, model: TreeModel): Promise<void> {
  model.saveState(machine.index, machine.namespace.oldestReadableIndex());
  switch (wanted.kind) {
    case "transact": {
      const operations = wanted.operations.map((plan) => plan(machine.index));
      const outcome = machine.transact(operations);
      assert.equal(codeOf(outcome), model.transact(operations), outcome.ok ? "" : outcome.message);
      return;
    }
    case "flush":
      return machine.namespace.flush();
    case "restart":
      return machine.restart();
    case "pass-time":
      machine.nowMs += wanted.ms;
      return;
    case "reclaim":
      machine.apply({ ...wanted, nowMs: machine.nowMs });
  }
}

describe("the namespace under random transactions", () => {
  it("agrees with a plain tree, now and as of every index that can be read", async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (list) => {
        const machine = await TestStateMachine.make();
        const model = new TreeModel();
        const past: { index: LogIndex; paths: Map<string, string> }[] = [];
        for (const wanted of list) {
          await runStep(machine, wanted, model);
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

  it("tells of every path what happened to it, as reads of the past show it", async () => {
    await fc.assert(
      fc.asyncProperty(steps, fc.integer({ min: 1, max: 4 }), async (list, limit) => {
        const machine = await TestStateMachine.make();
        const model = new TreeModel();
        const paths = new Set(["/"]);
        for (const wanted of list) {
          await runStep(machine, wanted, model);
          for (const path of model.paths().keys()) paths.add(path);
        }
        for (const path of paths) checkPathHistory(machine, path, limit);
      }),
      { numRuns: 150 },
    );
  });

  it("keeps its invariants after every step, and nothing but the root after all is removed", async () => {
    await fc.assert(
      fc.asyncProperty(steps, fc.integer({ min: 1, max: 20 }), async (list, recordsMax) => {
        const machine = await TestStateMachine.make();
        const model = new TreeModel();
        for (const wanted of list) {
          await runStep(machine, wanted, model);
          await machine.namespace.flush();
          checkInvariants(machine.store);
        }
        const top = machine.namespace.list({ path: Uint8Array.of(0x2f) }, { limit: 100 }).entries;
        for (const { attributes } of top) {
          machine.run({ kind: "remove-tree", target: { inode: attributes.inode } });
        }
        machine.nowMs += list.length * DAY_MS; // Past every jump back.
        machine.expireAndReclaim(recordsMax);
        await finishAll(machine);
        checkInvariants(machine.store);
        // Meta, the root, the session and its outcomes, the class, times.
        const left = tablesLeft(machine).filter((byte) => byte !== "o");
        assert.deepEqual(left, ["M", "d", "i", "s", "t", "w"]);
        assert.equal(machine.namespace.counters().chunkCount, 0);
        assert.equal(machine.namespace.counters().logicalBytes, 0);
      }),
      { numRuns: 150 },
    );
  });

  it("has the same bytes on every machine, whenever it flushes and restarts", async () => {
    await using directory = await TempDirectory.make();
    const stores = new LmdbStores(directory.path);
    let run = 0;
    await fc.assert(
      fc.asyncProperty(steps, fc.array(fc.integer({ min: 0, max: 6 })), async (list, flushAt) => {
        run += 1;
        const leader = await TestStateMachine.make();
        const follower = await TestStateMachine.empty(await stores.open(`run-${run}`));
        for (const wanted of list)
          await runStep(leader, wanted, new TreeModel()).catch(ignoreModel);
        await follow(follower, leader, new Set(flushAt));
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

/** The last thing that happened up to an index says what a read as of it shows. */
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
    const told = versions.filter((version) => version.index <= read).at(-1)?.attributes ?? null;
    let shown: Attributes | null = null;
    try {
      shown = namespace.stat(target, read as LogIndex);
    } catch (error) {
      if (!isAshlarError(error, "NOT_FOUND") && !isAshlarError(error, "NOT_A_DIRECTORY"))
        throw error;
    }
    assert.deepEqual(ownOf(told), ownOf(shown), `${path} as of ${read}`);
  }
}

/** What a directory has of its own; what changes with its entries has no history. */
function ownOf(attributes: Attributes | null): unknown {
  if (attributes?.kind !== "directory") return attributes;
  const { inode, mode, uid, gid } = attributes;
  return { inode, mode, uid, gid };
}

/** The model of the byte test is new at every step: only the log counts there. */
function ignoreModel(error: unknown): void {
  if (!(error instanceof assert.AssertionError)) throw error;
}

/** Purges are carried out, and the intent floor passes all tombstones. */
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

/** First bytes of the keys that are there. */
function tablesLeft(machine: TestStateMachine): string[] {
  const bytes = dump(machine.store).map((line) =>
    String.fromCharCode(Number.parseInt(line.slice(0, 2), 16)),
  );
  return [...new Set(bytes)].sort();
}
