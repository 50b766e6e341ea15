import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, readlink, rm, stat, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { describe, it } from "node:test";
import { promisify } from "node:util";
import { isAshlarError } from "../../../shared/base/errors.ts";
import { LmdbStores } from "../../../shared/platform/lmdb-store.ts";
import { TempDirectory } from "../../support/temp-directory.ts";

const execute = promisify(execFile);
const ROWS = 60_000;
const KEPT = 20_000;

/**
 * Writes a store as version 0.1.0 does, with its lmdb 3, and removes most rows in one commit: so the list of
 * free pages has many entries. Arguments: the module, the directory.
 */
const WRITE_AS_BEFORE = `
  const { open } = require(process.argv[1]);
  const store = open({ path: process.argv[2], noSubdir: false, keyEncoding: "binary", encoding: "binary",
    cache: false, overlappingSync: false, eventTurnBatching: false, noMemInit: false });
  const key = (number) => { const bytes = Buffer.alloc(4); bytes.writeUInt32BE(number); return bytes; };
  (async () => {
    await store.batch(() => { for (let n = 0; n < ${ROWS}; n += 1) store.put(key(n), Buffer.alloc(100, n)); });
    await store.batch(() => { for (let n = ${KEPT}; n < ${ROWS}; n += 1) store.remove(key(n)); });
    for (let n = 0; n < 30; n += 1) await store.batch(() => { store.put(key(n * 600), Buffer.alloc(100, n * 600)); });
    await store.close();
  })();
`;

function keyOf(number: number): Uint8Array {
  const key = new Uint8Array(4);
  new DataView(key.buffer).setUint32(0, number);
  return key;
}

/** Opens a store as version 0.1.0 does, and lets its lmdb 3 use and free pages. */
const CHANGE_AS_BEFORE = `
  const { open } = require(process.argv[1]);
  const fs = require("node:fs");
  const marker = process.argv[2] + "/opening";
  fs.writeFileSync(marker, "");
  const store = open({ path: process.argv[2], noSubdir: false, keyEncoding: "binary", encoding: "binary",
    cache: false, overlappingSync: false, eventTurnBatching: false, noMemInit: false });
  fs.rmSync(marker);
  const key = (number) => { const bytes = Buffer.alloc(4); bytes.writeUInt32BE(number); return bytes; };
  (async () => {
    for (let round = 0; round < 20; round += 1) {
      await store.batch(() => {
        for (let n = 0; n < 2000; n += 1) store.remove(key(${ROWS} + round * 2000 + n));
      });
    }
    await store.close();
  })();
`;

async function changeAsBefore(path: string): Promise<void> {
  const lmdb = createRequire(import.meta.url).resolve("lmdb-3");
  await execute(process.execPath, ["-e", CHANGE_AS_BEFORE, lmdb, path]);
}

async function writeAsBefore(path: string): Promise<void> {
  await mkdir(path, { recursive: true });
  const lmdb = createRequire(import.meta.url).resolve("lmdb-3");
  await execute(process.execPath, ["-e", WRITE_AS_BEFORE, lmdb, path]);
}

/** Checks all rows, and that commits which use free pages damage none of them. */
async function checkRows(path: string): Promise<void> {
  const store = await new LmdbStores(path).open("s");
  for (let round = 0; round < 20; round += 1) {
    const changes = Array.from({ length: 2_000 }, (_, number) => ({
      key: keyOf(ROWS + round * 2_000 + number),
      value: new Uint8Array(100).fill(7),
    }));
    await store.commit(changes);
  }
  let count = 0;
  for (const { key, value } of store.range({ start: keyOf(0), end: keyOf(ROWS) })) {
    assert.deepEqual(key, keyOf(count));
    assert.deepEqual(value, new Uint8Array(100).fill(count));
    count += 1;
  }
  assert.equal(count, KEPT);
  await store.close();
}

describe("a store of version 0.1.0", () => {
  it("is converted once: it keeps its rows and loses the list of free pages that lmdb 2 cannot use", async () => {
    await using directory = await TempDirectory.make();
    const path = `${directory.path}/s`;
    await writeAsBefore(path);
    const before = await stat(`${path}/data.mdb`);
    await checkRows(directory.path);
    const after = await stat(`${path}/data.mdb`);
    assert.notEqual(after.ino, before.ino);
    await checkRows(directory.path);
    assert.equal((await stat(`${path}/data.mdb`)).ino, after.ino);
    assert.equal(existsSync(`${path}/converted`), false);
  });

  it("is readable for that version after the conversion, and is converted again after it", async () => {
    await using directory = await TempDirectory.make();
    const path = `${directory.path}/s`;
    await writeAsBefore(path);
    await checkRows(directory.path);
    const { ino } = await stat(`${path}/data.mdb`);
    assert.equal(await readlink(`${path}/opening`), "lmdb-2");
    await changeAsBefore(path);
    await checkRows(directory.path);
    assert.notEqual((await stat(`${path}/data.mdb`)).ino, ino);
  });

  it("is converted after a crash in the conversion, and after that version died while it opened it", async () => {
    await using directory = await TempDirectory.make();
    const path = `${directory.path}/s`;
    await writeAsBefore(path);
    await writeFile(`${path}/opening`, "");
    await mkdir(`${path}/converted`);
    await writeFile(`${path}/converted/data.mdb`, "unfinished");
    await checkRows(directory.path);
    assert.equal(await readlink(`${path}/opening`), "lmdb-2");
    assert.equal(existsSync(`${path}/converted`), false);
  });

  it("is not replaced if it has a damaged page, at which lmdb may end a range without an error", async () => {
    await using directory = await TempDirectory.make();
    const path = `${directory.path}/s`;
    await writeAsBefore(path);
    const sound = await readFile(`${path}/data.mdb`);
    let damagedCount = 0;
    for (let page = 3; page < sound.length / 4096; page += 97) {
      const bytes = Buffer.from(sound);
      for (let at = 0; at < 4096; at += 1) bytes[page * 4096 + at] = (at * 37 + page) & 255;
      await rm(path, { recursive: true });
      await mkdir(path);
      await writeFile(`${path}/data.mdb`, bytes);
      try {
        await checkRows(directory.path); // The page was free.
      } catch (error) {
        assert.ok(isAshlarError(error, "STORE_CORRUPT"), String(error));
        assert.ok(bytes.equals(await readFile(`${path}/data.mdb`)));
        damagedCount += 1;
      }
    }
    assert.ok(damagedCount > 0);
  });
});
