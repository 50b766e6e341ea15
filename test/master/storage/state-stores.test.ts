import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { StateStores } from "../../../master/storage/state-stores.ts";
import { MemoryStores } from "../../../shared/platform/memory-store.ts";
import { MemoryDisk } from "../../support/memory-disk.ts";
import { hasCode, MemoryLog } from "../../support/wire-fixture.ts";
import { hasher } from "./log-fixture.ts";

/** A directory with a current store. */
class Directory {
  readonly disk = new MemoryDisk().mount();
  readonly stores = new MemoryStores();

  open(): Promise<StateStores> {
    const { disk, stores } = this;
    return StateStores.open({ disk, stores, hasher, log: new MemoryLog(), wasLogBegun: true });
  }

  static async make(): Promise<Directory> {
    const directory = new Directory();
    const { store } = await (await directory.open()).openCurrent();
    await store.commit([{ key: Uint8Array.of(1), value: Uint8Array.of(2) }]);
    await store.close();
    return directory;
  }
}

describe("a directory without the file that names its state", () => {
  it("uses the only state", async () => {
    const directory = await Directory.make();
    await directory.disk.remove("current.json");
    const states = await directory.open();
    assert.equal(states.isLogResetPending, false);
    const { name, store } = await states.openCurrent();
    assert.equal(name, "state-1");
    assert.deepEqual(store.get(Uint8Array.of(1)), Uint8Array.of(2));
    assert.deepEqual(await directory.stores.list(), ["state-1"]);
  });

  it("is refused if it has several states, and nothing is removed", async () => {
    const directory = await Directory.make();
    await (await directory.stores.open("state-2")).close();
    await directory.disk.remove("current.json");
    for (const start of ["first", "second"]) {
      await assert.rejects(directory.open(), hasCode("LOG_CORRUPT"), start);
    }
    assert.deepEqual(await directory.stores.list(), ["state-1", "state-2"]);
  });
});
