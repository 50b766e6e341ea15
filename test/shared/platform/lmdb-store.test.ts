import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  mkdir,
  open,
  readdir,
  readFile,
  rm,
  rmdir,
  stat,
  truncate,
  writeFile,
} from "node:fs/promises";
import { describe, it } from "node:test";
import { isAshlarError } from "../../../shared/base/errors.ts";
import { LmdbStores } from "../../../shared/platform/lmdb-store.ts";
import type { OrderedStore, StoreSnapshot } from "../../../shared/ports/ordered-store.ts";
import { TempDirectory } from "../../support/temp-directory.ts";
import { hasCode } from "../../support/wire-fixture.ts";
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

async function makeStore(path: string): Promise<void> {
  const store = await new LmdbStores(path).open("s");
  const entries = Array.from({ length: 5000 }, (_, i) => ({
    key: Uint8Array.of(i >> 8, i & 255),
    value: new Uint8Array(100).fill(i & 255),
  }));
  await store.commit(entries);
  await store.close();
}

/** Overwrites a part of the file. */
async function damage(file: string, offset: number, bytes: Uint8Array): Promise<void> {
  await using disk = await open(file, "r+");
  await disk.write(bytes, 0, bytes.length, offset);
}

/** Overwrites the number of the root page of the rows in both headers. */
async function damageRoots(file: string, number: bigint): Promise<void> {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(number);
  for (const header of [0, 4096]) await damage(file, header + 0x88, bytes);
}

/** Resolves to the first child of the process once it exists: proc(5). */
async function childOf(pid: number): Promise<number> {
  for (;;) {
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8");
    if (children !== "") return Number(children.split(" ", 1)[0]);
    await new Promise(setImmediate);
  }
}

const isCorrupt = (error: unknown): boolean => isAshlarError(error, "STORE_CORRUPT");

// In each of these cases lmdb alone ends the process, with SIGSEGV or SIGBUS.

describe("creation of an lmdb store", () => {
  it("fails with NO_SPACE on a full disk, and succeeds once there is space", async (test) => {
    await using directory = await TempDirectory.make();
    const options = ["-t", "tmpfs", "-o", "size=64k", "tmpfs", directory.path];
    if (spawnSync("mount", options).status !== 0) {
      test.skip("mounting a tmpfs is not allowed here");
      return;
    }
    try {
      const ballast = `${directory.path}/ballast`;
      await writeFile(ballast, Buffer.alloc(64 * 1024));
      const stores = new LmdbStores(directory.path);
      await assert.rejects(stores.open("s"), { code: "NO_SPACE" });
      await truncate(ballast, 56 * 1024);
      await assert.rejects(stores.open("s"), { code: "NO_SPACE" }, "the lock file is too large");
      await truncate(ballast, 0);
      await (await stores.open("s")).close();
    } finally {
      spawnSync("umount", [directory.path]);
    }
  });

  it("succeeds after a crash that left a file of zeros", async () => {
    await using directory = await TempDirectory.make();
    await mkdir(`${directory.path}/s`);
    for (const lengthBytes of [0, 100, 8192]) {
      await writeFile(`${directory.path}/s/data.mdb`, Buffer.alloc(lengthBytes));
      const store = await new LmdbStores(directory.path).open("s");
      await store.commit([{ key: Uint8Array.of(1), value: Uint8Array.of(1) }]);
      await store.close();
    }
  });
});

describe("lmdb store with damaged files", () => {
  const damages: readonly (readonly [string, (file: string) => Promise<void>])[] = [
    ["that is not a store", (file) => writeFile(file, Buffer.alloc(64 * 1024, 7))],
    ["that is too short for a header", (file) => writeFile(file, "short")],
    ["whose first header is overwritten", (file) => damage(file, 0, Buffer.alloc(4096, 7))],
    ["whose pages have another size", (file) => damage(file, 0x30, Buffer.of(0, 0x20))],
    ["whose second header has no page size", (file) => damage(file, 4096 + 0x30, Buffer.alloc(4))],
    ["whose rows are said to begin in a header", (file) => damageRoots(file, 1n)],
    ["whose rows are said to begin after the end", (file) => damageRoots(file, 2n ** 40n)],
    ["whose rows are said to begin in the middle", (file) => damageRoots(file, 9n)],
    ["whose second header is zeros", (file) => damage(file, 4096, Buffer.alloc(4096))],
    ["that was cut in half", async (file) => truncate(file, (await stat(file)).size >> 1)],
  ];
  for (const [name, doDamage] of damages) {
    it(`fails with STORE_CORRUPT for a file ${name}, and creates a new store after remove`, async () => {
      await using directory = await TempDirectory.make();
      await makeStore(directory.path);
      await doDamage(`${directory.path}/s/data.mdb`);
      const stores = new LmdbStores(directory.path);
      await assert.rejects(stores.open("s"), isCorrupt);
      await stores.remove("s");
      const store = await stores.open("s");
      await store.commit([{ key: Uint8Array.of(1), value: Uint8Array.of(1) }]);
      await store.close();
    });
  }

  it("fails with VERSION_MISMATCH for another data format of LMDB, and changes nothing", async () => {
    await using directory = await TempDirectory.make();
    await makeStore(directory.path);
    const file = `${directory.path}/s/data.mdb`;
    const header = (offset: number, ...numbers: number[]): Promise<void> => {
      const bytes = Buffer.alloc(4 * numbers.length);
      for (const [position, number] of numbers.entries()) bytes.writeUInt32LE(number, 4 * position);
      return damage(file, offset, bytes);
    };
    for (const page of [0, 4096]) await header(page + 0x1c, 3);
    await assert.rejects(new LmdbStores(directory.path).open("s"), {
      code: "VERSION_MISMATCH",
      message: `Cannot open the store file ${file}: expected LMDB data format 2: current value is 3`,
    });
    // Format 1 has shorter page headers: the magic number comes earlier.
    for (const page of [0, 4096]) await header(page + 0x10, 0xbeefc0de, 1, 0, 0);
    const before = await readFile(file);
    await assert.rejects(new LmdbStores(directory.path).open("s"), {
      code: "VERSION_MISMATCH",
      message: /expected LMDB data format 2: current value is 1$/,
    });
    assert.ok(before.equals(await readFile(file)));
  });

  it("fails with STORE_CORRUPT for a damaged page if the last process died while opening", async () => {
    await using directory = await TempDirectory.make();
    await makeStore(directory.path);
    const file = `${directory.path}/s/data.mdb`;
    for (let page = 2; page < 100; page += 1) {
      await damage(file, page * 4096, Buffer.alloc(4096, 9));
    }
    await writeFile(`${directory.path}/s/opening-2`, "");
    await assert.rejects(new LmdbStores(directory.path).open("s"), isCorrupt);
  });

  it("opens an intact store even if the last process died while opening it", async () => {
    await using directory = await TempDirectory.make();
    await makeStore(directory.path);
    await writeFile(`${directory.path}/s/opening-2`, "");
    const store = await new LmdbStores(directory.path).open("s");
    assert.deepEqual(store.get(Uint8Array.of(0, 7)), new Uint8Array(100).fill(7));
    await store.close();
    const names = (await readdir(`${directory.path}/s`)).sort();
    assert.deepEqual(names, ["data.mdb", "lock.mdb", "opening"]);
  });

  it("does not fail with STORE_CORRUPT if the check itself was stopped", async () => {
    await using directory = await TempDirectory.make();
    await makeStore(directory.path);
    await writeFile(`${directory.path}/s/opening-2`, "");
    const opening = new LmdbStores(directory.path).open("s");
    opening.catch(() => {}); // Awaited below.
    // systemd does the same: it stops all processes of a service together.
    process.kill(await childOf(process.pid), "SIGTERM");
    await assert.rejects(opening, (error) => isAshlarError(error, "UNAVAILABLE"));
    const store = await new LmdbStores(directory.path).open("s");
    assert.ok(store.get(Uint8Array.of(0, 1)) !== undefined);
    await store.close();
  });

  // Found with an EIO at lmdb's lock file: the process died of SIGSEGV in its first opening, and
  // every later opening treated the store, which had never had data, as damaged.
  for (const leftovers of [
    ["opening-2"],
    ["opening-2", "lock.mdb"],
    ["opening-2", "data.mdb"],
    ["opening"],
  ]) {
    it(`creates the store if the process died in its first opening and left ${leftovers.join(", ")}`, async () => {
      await using directory = await TempDirectory.make();
      await mkdir(`${directory.path}/s`);
      for (const name of leftovers) await writeFile(`${directory.path}/s/${name}`, "");
      const store = await new LmdbStores(directory.path).open("s");
      await store.commit([{ key: Uint8Array.of(1), value: Uint8Array.of(2) }]);
      assert.deepEqual(store.get(Uint8Array.of(1)), Uint8Array.of(2));
      await store.close();
    });
  }

  it("opens a store whose file ends before free pages, as LMDB allows", async () => {
    await using directory = await TempDirectory.make();
    await makeStore(directory.path);
    const file = `${directory.path}/s/data.mdb`;
    const pages = (await stat(file)).size / 4096;
    const lastPage = Buffer.alloc(8);
    lastPage.writeBigUInt64LE(BigInt(pages + 10));
    for (const meta of [0, 4096]) await damage(file, meta + 0x90, lastPage);
    const store = await new LmdbStores(directory.path).open("s");
    assert.deepEqual(store.get(Uint8Array.of(0, 7)), new Uint8Array(100).fill(7));
    await store.close();
  });

  for (const name of ["opening", "opening-2", "lock.mdb"]) {
    it(`says what it cannot write if a directory is in the place of ${name}`, async () => {
      await using directory = await TempDirectory.make();
      await makeStore(directory.path);
      const path = `${directory.path}/s/${name}`;
      await rm(path, { force: true });
      await mkdir(path);
      await assert.rejects(new LmdbStores(directory.path).open("s"), {
        code: "DISK_FAILED",
        message: new RegExp(
          `^Cannot open the store ${directory.path}/s: expected to be able to (write|replace) the file ${path}: .*directory$`,
        ),
        details: { path, errno: "EISDIR" },
      });
      await rmdir(path);
    });
  }

  it("says what it cannot write if the directory of the store is read-only", async (test) => {
    await using directory = await TempDirectory.make();
    await makeStore(directory.path);
    const path = `${directory.path}/s`;
    if (spawnSync("chattr", ["+i", path]).status !== 0) {
      test.skip("attributes of files cannot be changed here");
      return;
    }
    try {
      await assert.rejects(new LmdbStores(directory.path).open("s"), {
        code: "DISK_FAILED",
        message: `Cannot open the store ${path}: expected to be able to write the file ${path}/opening-2: operation not permitted`,
      });
    } finally {
      spawnSync("chattr", ["-i", path]);
    }
    await (await new LmdbStores(directory.path).open("s")).close();
  });

  it("does not fail with STORE_CORRUPT for a path that it cannot use", async () => {
    await using directory = await TempDirectory.make();
    await writeFile(`${directory.path}/s`, "a file where the directory should be");
    await assert.rejects(new LmdbStores(directory.path).open("s"), (error) =>
      isAshlarError(error, "ALREADY_EXISTS"),
    );
  });
});

describe("a large lmdb store", () => {
  const COUNT = 16_384;
  const VALUE_BYTES = 10_000;
  const keyOf = (number: number): Uint8Array => Uint8Array.of(number >> 8, number & 255);
  const bytesOf = (number: number): Uint8Array => new Uint8Array(VALUE_BYTES).fill(number % 251);

  async function fill(store: OrderedStore): Promise<void> {
    for (let first = 0; first < COUNT; first += 1024) {
      const numbers = Array.from({ length: 1024 }, (_, index) => first + index);
      await store.commit(numbers.map((number) => ({ key: keyOf(number), value: bytesOf(number) })));
    }
  }

  function checkAll(store: Pick<OrderedStore, "get">): void {
    for (let number = 0; number < COUNT; number += 1) {
      const found = store.get(keyOf(number));
      assert.equal(found?.length, VALUE_BYTES);
      assert.equal(found[VALUE_BYTES - 1], number % 251);
    }
  }

  /** Returns the addresses at which the file is mapped: proc(5), maps. */
  async function mappingsOf(path: string): Promise<string[]> {
    const maps = await readFile("/proc/self/maps", "utf8");
    const lines = maps.split("\n").filter((line) => line.endsWith(`${path}/s/data.mdb`));
    return lines.map((line) => line.slice(0, line.indexOf("-")));
  }

  // Pages have to be mapped again after the file is: this made reads of large stores 13 times slower.
  it("is mapped once, however much is read and committed", async () => {
    await using directory = await TempDirectory.make();
    const store = await new LmdbStores(directory.path).open("s");
    const first = await mappingsOf(directory.path);
    await fill(store);
    for (let round = 0; round < 3; round += 1) {
      checkAll(store);
      await store.commit([{ key: Uint8Array.of(255, 255, round), value: Uint8Array.of(round) }]);
    }
    assert.deepEqual(await mappingsOf(directory.path), first);
    assert.equal(first.length, 1);
    const range = { start: keyOf(0), end: Uint8Array.of(255) };
    assert.equal(Array.from(store.range(range)).length, COUNT);
    await store.close();
  });

  it("shares a reader between snapshots of one state, and refuses snapshots of too many", async () => {
    await using directory = await TempDirectory.make();
    const store = await new LmdbStores(directory.path).open("s");
    const same = Array.from({ length: 300 }, () => store.snapshot());
    const others: StoreSnapshot[] = [];
    for (let number = 1; number < 64; number += 1) {
      await store.commit([{ key: keyOf(0), value: Uint8Array.of(number) }]);
      others.push(store.snapshot());
    }
    await store.commit([{ key: keyOf(0), value: Uint8Array.of(64) }]);
    assert.throws(() => store.snapshot(), hasCode("OVERLOADED"));
    // Open snapshots stop neither reads nor commits.
    await store.commit([{ key: keyOf(0), value: Uint8Array.of(65) }]);
    assert.deepEqual(store.get(keyOf(0)), Uint8Array.of(65));
    for (const snapshot of same) assert.equal(snapshot.get(keyOf(0)), undefined);
    for (const [index, snapshot] of others.entries()) {
      assert.deepEqual(snapshot.get(keyOf(0)), Uint8Array.of(index + 1));
    }
    for (const snapshot of same) snapshot.release();
    const next = store.snapshot();
    assert.deepEqual(next.get(keyOf(0)), Uint8Array.of(65));
    for (const snapshot of [next, ...others]) snapshot.release();
    await store.close();
  });

  it("does not change the state of a snapshot", async () => {
    await using directory = await TempDirectory.make();
    const store = await new LmdbStores(directory.path).open("s");
    await fill(store);
    const snapshot = store.snapshot();
    await store.commit([{ key: keyOf(0), value: null }]);
    for (let number = 1; number < COUNT; number += 1) assert.ok(store.get(keyOf(number)));
    checkAll(snapshot);
    snapshot.release();
    for (let number = 1; number < COUNT; number += 1) assert.ok(store.get(keyOf(number)));
    assert.equal(store.get(keyOf(0)), undefined);
    await store.close();
  });

  it("allows reads during a commit", async () => {
    await using directory = await TempDirectory.make();
    const store = await new LmdbStores(directory.path).open("s");
    await fill(store);
    for (let round = 0; round < 8; round += 1) {
      const committing = store.commit([{ key: Uint8Array.of(255), value: Uint8Array.of(round) }]);
      checkAll(store);
      await committing;
      assert.deepEqual(store.get(Uint8Array.of(255)), Uint8Array.of(round));
    }
    await store.close();
  });
});
