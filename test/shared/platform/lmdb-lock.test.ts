import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { symlink } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { LmdbStores } from "../../../shared/platform/lmdb-store.ts";
import { TempDirectory } from "../../support/temp-directory.ts";

const isSkipped = existsSync("/dev/shm") ? false : "this system has no /dev/shm";

/** Returns the mapped files of this process whose path contains `text`. */
const mapped = (text: string): string[] =>
  readFileSync("/proc/self/maps", "utf8")
    .split("\n")
    .filter((line) => line.includes(text));

describe("the lock file of a store", () => {
  it("is in memory, without a name, so that a read does not wait for the disk", {
    skip: isSkipped,
  }, async () => {
    await using directory = await TempDirectory.make();
    const store = await new LmdbStores(directory.path).open("index");
    const key = Uint8Array.of(1);
    await store.commit([{ key, value: key }]);
    assert.deepEqual(store.get(key), key);
    assert.deepEqual(mapped(join(directory.path, "index", "lock.mdb")), []);
    assert.equal(mapped("/dev/shm/ashlar-lock-").length, 1);
    const names = readdirSync("/dev/shm").filter((name) => name.startsWith("ashlar-lock-"));
    assert.deepEqual(names, []);
    await store.close();
  });

  it("in the directory of the store is kept, also after a crash during the open", async () => {
    await using directory = await TempDirectory.make();
    const stores = new LmdbStores(directory.path);
    for (let open = 0; open < 3; open += 1) {
      const store = await stores.open("index");
      await store.close();
      const names = readdirSync(join(directory.path, "index")).sort();
      assert.deepEqual(names, ["data.mdb", "lock.mdb", "opening"]);
      if (open > 0) continue;
      // The process ended with the link in place.
      const lock = join(directory.path, "index", "lock.mdb");
      renameSync(lock, `${lock}.kept`);
      await symlink("/dev/shm/ashlar-lock-gone", lock);
    }
  });
});
