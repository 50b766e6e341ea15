import assert from "node:assert/strict";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { LogIndex } from "../../../shared/base/ids.ts";
import type { Attributes } from "../../../shared/protocol/attributes.ts";
import type { PathVersion } from "../../../shared/protocol/history-api.ts";
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
import type { Step } from "./random-operations.ts";
import { TreeModel } from "./tree-model.ts";

/** Returns a state machine at a feature level, and a model with the same state. */
export async function makePair(featureLevel: number): Promise<[TestStateMachine, TreeModel]> {
  const machine = await TestStateMachine.make();
  const model = new TreeModel();
  model.saveState(machine.index, machine.namespace.oldestReadableIndex());
  assertOk(machine.apply(raiseTo(featureLevel)));
  return [machine, model];
}

/**
 * Replays the leader's log, with a flush after the entries whose index modulo 7 is in `flushAt`.
 */
export async function replayLog(
  follower: TestStateMachine,
  leader: TestStateMachine,
  flushAt: ReadonlySet<number>,
): Promise<void> {
  for (const { index, data } of leader.log.slice(follower.log.length)) {
    follower.applyData(data);
    if (flushAt.has(index % 7)) await follower.namespace.flush();
  }
}

/** Runs a step in the state machine and, as far as the model knows it, in the model. */
export async function runStep(
  machine: TestStateMachine,
  planned: Step,
  model: TreeModel,
): Promise<void> {
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

/**
 * Checks that the last version of a path up to each index agrees with a read as of this index, and that the
 * versions have the times of their entries.
 *
 * @param options.limit versions of one page
 * @param options.times the times of entries
 */
export function checkPathHistory(
  { namespace, index }: TestStateMachine,
  path: string,
  { limit, times }: { readonly limit: number; readonly times: ReadonlyMap<LogIndex, number> },
): void {
  const versions: PathVersion[] = [];
  const target = at(path);
  for (let from: LogIndex | null | undefined; from !== null; ) {
    const page = namespace.history({ path: target.path as Uint8Array, from, limit });
    assert.ok(page.versions.length <= limit);
    versions.push(...page.versions);
    from = page.next;
  }
  for (const version of versions) {
    const timeMs = version.change === "existing" ? undefined : times.get(version.index);
    if (timeMs !== undefined) assert.equal(version.timeMs, timeMs, `the time of ${version.index}`);
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

/**
 * Removes and reclaims everything, and checks that only the root is left.
 *
 * @param options.days at least the time by which the clock went back
 */
export async function checkEmptied(
  machine: TestStateMachine,
  { days, recordsMax }: { readonly days: number; readonly recordsMax: number },
): Promise<void> {
  const top = machine.namespace.list({ path: Uint8Array.of(0x2f) }, { limit: 100 }).entries;
  for (const { attributes } of top) {
    machine.run({ kind: "remove-tree", target: { inode: attributes.inode } });
  }
  machine.closeSession();
  machine.nowMs += days * DAY_MS;
  machine.expireAndReclaim(recordsMax);
  await finishAll(machine);
  checkInvariants(machine.store);
  // Meta, the root directory, the storage class and times.
  assert.deepEqual(tablesLeft(machine), ["M", "d", "i", "t", "w"]);
  assert.equal(machine.namespace.counters().chunkCount, 0);
  assert.equal(machine.namespace.counters().logicalBytes, 0);
  assert.equal(machine.namespace.counters().stagedBytes, 0);
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
