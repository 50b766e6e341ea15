import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { isAshlarError } from "../../../shared/base/errors.ts";
import { LmdbStores } from "../../../shared/platform/lmdb-store.ts";
import { TempDirectory } from "../../support/temp-directory.ts";
import { testStores } from "./store-contract.ts";

describe("lmdb store (OrderedStore contract)", () => {
  testStores(async () => {
    const directory = await TempDirectory.make();
    return {
      stores: new LmdbStores(directory.path),
      reopen: () => new LmdbStores(directory.path),
      [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
    };
  });
});

describe("lmdb store on damaged files", () => {
  it("says STORE_CORRUPT for a file that is no store, and makes a new one after remove", async () => {
    await using directory = await TempDirectory.make();
    await mkdir(`${directory.path}/s`);
    await writeFile(`${directory.path}/s/data.mdb`, Buffer.alloc(64 * 1024, 7));
    const stores = new LmdbStores(directory.path);
    await assert.rejects(stores.open("s"), (error) => isAshlarError(error, "STORE_CORRUPT"));
    await stores.remove("s");
    const store = await stores.open("s");
    await store.commit([{ key: Uint8Array.of(1), value: Uint8Array.of(1) }]);
    await store.close();
  });

  it("does not say STORE_CORRUPT for a directory that it cannot use: nothing is wrong inside", async () => {
    await using directory = await TempDirectory.make();
    await writeFile(`${directory.path}/s`, "a file where the directory should be");
    const stores = new LmdbStores(directory.path);
    await assert.rejects(stores.open("s"), (error) => isAshlarError(error, "DISK_FAILED"));
  });
});
