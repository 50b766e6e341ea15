import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { encodeCommand } from "../../../master/namespace/command-encoding.ts";
import { hashRows } from "../../../master/namespace/durable.ts";
import { FEATURE_LEVEL_MAX } from "../../../master/namespace/feature-levels.ts";
import { META_KEY, textToBytes } from "../../../master/namespace/keys.ts";
import { Namespace } from "../../../master/namespace/namespace.ts";
import { APPLIED } from "../../../master/namespace/tables.ts";
import { toHex } from "../../../shared/base/bytes.ts";
import { AshlarError } from "../../../shared/base/errors.ts";
import type { LogIndex } from "../../../shared/base/ids.ts";
import { MemoryStores } from "../../../shared/platform/memory-store.ts";
import type { OrderedStore } from "../../../shared/ports/ordered-store.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { assertOk, at, hasher, inline, OWNER, raiseTo, TestStateMachine } from "./harness.ts";

const put = (path: string, text: string) =>
  ({ kind: "put", target: at(path), content: inline(text), ...OWNER, replace: true }) as const;
const hexOf = ({ stateHash }: { stateHash: Uint8Array }): string => toHex(stateHash);
const markAt = (namespace: Namespace, index: number): string | undefined => {
  const mark = namespace.checkpointMarks.find((each) => each.index === index);
  return mark === undefined ? undefined : hexOf(mark);
};

/**
 * Applies random mutations with checkpoints between them.
 *
 * @returns the indexes of the checkpoints
 */
function applyRandomMutations(machine: TestStateMachine, random: SeededRandom): LogIndex[] {
  const checkpoints: LogIndex[] = [];
  for (let step = 0; step < 120; step += 1) {
    const path = `/f${random.integer(12)}`;
    const kind = random.integer(4);
    if (kind < 2) machine.transact([put(path, `text ${step}`)]);
    else if (kind === 2) machine.transact([{ kind: "unlink", target: at(path) }]);
    else machine.transact([{ kind: "make-directory", target: at(path), parents: false, ...OWNER }]);
    if (step % 30 !== 29) continue;
    const outcome = machine.apply({ kind: "checkpoint", verdict: null });
    assertOk(outcome);
    checkpoints.push(outcome.index);
  }
  return checkpoints;
}

/** Applies the log of `source` with random flushes and crashes. @returns the checkpoint hashes */
async function replayWithCrashes(
  source: TestStateMachine,
  store: OrderedStore,
  random: SeededRandom,
): Promise<{ namespace: Namespace; marks: Map<number, string> }> {
  let namespace = Namespace.open({ store, hasher });
  const marks = new Map<number, string>();
  const flush = async (): Promise<void> => {
    await namespace.flush();
    for (const mark of namespace.checkpointMarks) marks.set(mark.index, hexOf(mark));
  };
  while (namespace.appliedIndex < source.index) {
    namespace.apply(source.log[namespace.appliedIndex] as (typeof source.log)[number]);
    if (random.integer(10) === 0) await flush();
    if (random.integer(20) === 0) namespace = Namespace.open({ store, hasher });
  }
  await flush();
  return { namespace, marks };
}

describe("the state hash", () => {
  it("is the hash of the rows in the store, independent of flushes and crashes", async () => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const random = new SeededRandom(seed);
      const source = await TestStateMachine.make();
      const checkpoints = applyRandomMutations(source, random);
      await source.namespace.flush();
      const store = await new MemoryStores().open("state");
      const { namespace, marks } = await replayWithCrashes(source, store, random);
      assert.equal(hexOf(namespace.durableMark), hexOf(source.namespace.durableMark));
      assert.equal(hexOf(namespace.durableMark), toHex(hashRows(store).bytes()), `seed ${seed}`);
      assert.equal(checkpoints.length, 4);
      for (const index of checkpoints) {
        assert.equal(marks.get(index), markAt(source.namespace, index), `seed ${seed}`);
      }
    }
  });

  it("is correct after a flush that the disk refused", async () => {
    let isFull = false;
    const stores = new MemoryStores({
      beforeCommit: async () => {
        if (isFull) throw new AshlarError("NO_SPACE", "Cannot commit: the disk is full");
      },
    });
    const store = await stores.open("state");
    const machine = await TestStateMachine.make({ store });
    machine.run(put("/a", "one"));
    isFull = true;
    await assert.rejects(machine.namespace.flush(), { code: "NO_SPACE" });
    machine.run(put("/a", "two"));
    await assert.rejects(machine.namespace.flush(), { code: "NO_SPACE" });
    isFull = false;
    await machine.namespace.flush();
    assert.equal(machine.namespace.durable.index, machine.index);
    assert.equal(hexOf(machine.namespace.durableMark), toHex(hashRows(store).bytes()));
    const again = Namespace.open({ store, hasher });
    assert.deepEqual(again.stat(at("/a")), machine.namespace.stat(at("/a")));
  });

  it("is correct if entries are applied while a large flush is hashed", async () => {
    const store = await new MemoryStores().open("state");
    let index = 0;
    const source = await TestStateMachine.make();
    for (let file = 0; file < 600; file += 1) source.run(put(`/f${file}`, "x"));
    const applyNext = (): void => {
      const entry = source.log[index];
      if (entry === undefined) return;
      namespace.apply(entry);
      index += 1;
    };
    const namespace = Namespace.open({
      store,
      hasher,
      yieldTurn: async () => {
        applyNext();
      },
    });
    while (index < 500) applyNext();
    await namespace.flush();
    assert.ok(index > 500, "entries were applied during the flush");
    assert.equal(hexOf(namespace.durableMark), toHex(hashRows(store).bytes()));
    while (index < source.log.length) applyNext();
    await namespace.flush();
    await source.namespace.flush();
    assert.equal(hexOf(namespace.durableMark), hexOf(source.namespace.durableMark));
  });

  it("is computed for a store of a version without a state hash", async () => {
    const machine = await TestStateMachine.make();
    machine.run(put("/a", "one"));
    await machine.namespace.flush();
    const { term } = machine.namespace.durable;
    const none = undefined as unknown as null;
    const old = { formatVersion: 1, index: machine.index, term, stateHash: none, checksum: null };
    const key = textToBytes(META_KEY.applied);
    await machine.store.commit([{ key, value: APPLIED.encode(old, META_KEY.applied) }]);
    const reopened = Namespace.open({ store: machine.store, hasher });
    assert.equal(hexOf(reopened.durableMark), hexOf(machine.namespace.durableMark));
  });
});

/** Returns the opened state, or the code of the error. */
function openOrErrorCode(store: OrderedStore): Namespace | string {
  try {
    return Namespace.open({ store, hasher });
  } catch (error) {
    assert.ok(error instanceof AshlarError, String(error));
    return error.code;
  }
}

describe("the rows with the position of a store", () => {
  it("are rejected after any single bit flip", async () => {
    const machine = await TestStateMachine.make();
    machine.run(put("/a", "one"));
    await machine.namespace.flush();
    let count = 0;
    for (const name of [META_KEY.applied, META_KEY.membership]) {
      const key = textToBytes(name);
      const good = machine.store.get(key)?.slice();
      assert.ok(good !== undefined);
      for (let bit = 0; bit < good.length * 8; bit += 1) {
        const value = good.slice();
        value[bit >> 3] = (value[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        await machine.store.commit([{ key, value }]);
        const opened = openOrErrorCode(machine.store);
        if (opened instanceof Namespace) {
          // The flipped bit has no effect: msgpack has several encodings of one value.
          const { index, term, membership } = machine.namespace.durable;
          const stateHash = hexOf(machine.namespace.durableMark);
          const found = { ...opened.durable, stateHash: hexOf(opened.durableMark) };
          assert.deepEqual(found, { index, term, membership, stateHash }, `bit ${bit} of ${name}`);
          continue;
        }
        // A bit flip in the format version is reported as the format of a newer program.
        assert.ok(opened === "STORE_CORRUPT" || opened === "VERSION_MISMATCH", opened);
        count += 1;
      }
      await machine.store.commit([{ key, value: good }]);
    }
    assert.ok(count > 300, `${count} bits`);
    assert.equal(Namespace.open({ store: machine.store, hasher }).appliedIndex, machine.index);
  });
});

/** Changes a row of the store without the knowledge of the state machine. */
async function plantDivergence(store: OrderedStore): Promise<void> {
  const start = new TextEncoder().encode("e");
  const [row] = [...store.range({ start, end: new TextEncoder().encode("f"), limit: 1 })];
  assert.ok(row !== undefined);
  const value = row.value.slice();
  value[value.length - 1] = (value.at(-1) ?? 0) ^ 1;
  await store.commit([{ key: row.key, value }]);
}

describe("a member that has diverged", () => {
  it("stops at a checkpoint with the majority's hash, and again after a restart", async () => {
    const good = await TestStateMachine.make();
    good.run(put("/a", "one"));
    await good.namespace.flush();
    const store = await new MemoryStores().open("state");
    const bad = Namespace.open({ store, hasher });
    for (const entry of good.log) bad.apply(entry);
    await bad.flush();
    await plantDivergence(store);

    good.run({ kind: "unlink", target: at("/a") });
    assertOk(good.apply({ kind: "checkpoint", verdict: null }));
    const checked = good.index;
    await good.namespace.flush();
    const verdict = good.namespace.checkpointMarks.at(-1) ?? null;
    assert.equal(verdict?.index, checked);
    assertOk(good.apply({ kind: "checkpoint", verdict }));

    // The reopened member receives the majority's hash before it knows its own hash. The restarted
    // member knows its own hash first.
    const reopened = Namespace.open({ store, hasher });
    for (const entry of good.log.slice(reopened.appliedIndex, checked)) reopened.apply(entry);
    const last = good.log[checked];
    assert.ok(last !== undefined);
    reopened.apply(last);
    await assert.rejects(reopened.flush(), { code: "STATE_DIVERGED" });
    const restarted = Namespace.open({ store, hasher });
    assert.throws(() => restarted.apply(last), { code: "STATE_DIVERGED" });
  });

  it("is not detected at a checkpoint for which the member has no hash", async () => {
    const machine = await TestStateMachine.make();
    await machine.namespace.flush();
    const unknownMark = { index: 1 as LogIndex, stateHash: new Uint8Array(16) };
    assertOk(machine.apply({ kind: "checkpoint", verdict: unknownMark }));
  });
});

describe("feature levels of the state", () => {
  it("increase, never decrease, and are durable", async () => {
    const machine = await TestStateMachine.make();
    assert.equal(machine.namespace.featureLevel, 1);
    assertOk(machine.apply(raiseTo(2)));
    assertOk(machine.apply(raiseTo(1)));
    await machine.namespace.flush();
    assert.equal(Namespace.open({ store: machine.store, hasher }).featureLevel, 2);
  });

  it("stop a member that does not support them, in the log and in a store", async () => {
    const machine = await TestStateMachine.make();
    await machine.namespace.flush();
    const level = FEATURE_LEVEL_MAX + 1;
    assert.throws(() => machine.apply(raiseTo(level)), {
      code: "VERSION_MISMATCH",
    });
    const row = { key: new TextEncoder().encode("Mf"), value: Uint8Array.of(0x92, 1, level) };
    await machine.store.commit([row]);
    assert.throws(() => Namespace.open({ store: machine.store, hasher }), {
      code: "VERSION_MISMATCH",
    });
  });

  it("reject a command of an unknown kind with VERSION_MISMATCH", async () => {
    const machine = await TestStateMachine.make();
    const unknown = { kind: "unknown-kind" } as unknown as Parameters<typeof encodeCommand>[0];
    assert.throws(() => machine.applyData(encodeCommand(unknown)), { code: "VERSION_MISMATCH" });
  });
});
