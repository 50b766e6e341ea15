import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AshlarError, isAshlarError } from "../../../shared/base/errors.ts";
import { MemoryStores } from "../../../shared/platform/memory-store.ts";
import { testStores } from "./store-contract.ts";

describe("memory store (OrderedStore contract)", () => {
  testStores(async () => {
    const stores = new MemoryStores();
    return { stores, reopen: () => stores, [Symbol.asyncDispose]: async () => {} };
  });
});

describe("memory store with simulated faults", () => {
  const change = { key: Uint8Array.of(1), value: Uint8Array.of(1) };

  it("changes nothing in a failed commit, and stays usable", async () => {
    let full = true;
    const beforeCommit = async (): Promise<void> => {
      if (full) throw new AshlarError("NO_SPACE", "Cannot commit: the disk is full");
    };
    const store = await new MemoryStores({ beforeCommit }).open("s");
    await assert.rejects(store.commit([change]), (error) => isAshlarError(error, "NO_SPACE"));
    assert.equal(store.get(change.key), undefined);
    full = false;
    await store.commit([change]);
    assert.deepEqual(store.get(change.key), change.value);
  });

  it("loses the pending commit in a crash, and keeps every resolved one", async () => {
    let finishCommit = (): void => {};
    let slow = false;
    const stores = new MemoryStores({
      beforeCommit: () =>
        slow ? new Promise((resolve) => (finishCommit = resolve)) : Promise.resolve(),
    });
    const store = await stores.open("s");
    await store.commit([change]);
    slow = true;
    const pending = store.commit([{ key: Uint8Array.of(2), value: Uint8Array.of(2) }]);
    stores.crash();
    finishCommit();
    await assert.rejects(pending, (error) => isAshlarError(error, "DISK_FAILED"));
    assert.throws(
      () => store.get(change.key),
      (error) => isAshlarError(error, "DISK_FAILED"),
    );
    const again = await stores.open("s");
    assert.deepEqual(again.get(change.key), change.value);
    assert.equal(again.get(Uint8Array.of(2)), undefined);
  });

  it("keeps the whole pending commit in a crash if `isCommitKept` returns true", async () => {
    const stores = new MemoryStores({ beforeCommit: () => new Promise(() => {}) });
    const store = await stores.open("s");
    const other = { key: Uint8Array.of(2), value: Uint8Array.of(2) };
    store.commit([change, other]).catch(() => {}); // The process crashes before it resolves.
    stores.crash(() => true);
    const again = await stores.open("s");
    assert.deepEqual(again.get(change.key), change.value);
    assert.deepEqual(again.get(other.key), other.value);
  });
});
