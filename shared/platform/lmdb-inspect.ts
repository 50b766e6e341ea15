import { type ExecFileException, execFile } from "node:child_process";
import { type FileHandle, open, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { endianness } from "node:os";
import { AshlarError } from "../base/errors.ts";
import { diskError, errnoOf } from "./disk-error.ts";

/*
 * lmdb ends the whole process where it should throw: with SIGSEGV when it opens a file that is not
 * its own, with SIGBUS when it reads beyond the end of one that was cut, with SIGABRT on a damaged
 * page (all seen with 3.5.6). So a file is looked at before lmdb gets it, and one that looks odd is
 * first read in a process that may die.
 */

/*
 * A meta page of LMDB's data format 2 on a 64-bit little-endian machine; there are two, at 0 and at
 * one page size (mdb.c, MDB_page_header and MDB_meta):
 *
 *     offset  size  field
 *       0x12     2  page flags: META_PAGE_FLAG is set
 *       0x18     4  MAGIC
 *       0x1c     4  version in the low 16 bits
 *       0x30     4  page size in bytes
 *       0x90     8  last page that was ever used
 *       0x98     8  transaction that wrote this page
 */
const META_BYTES = 0xa0;
const META_PAGE_FLAG = 0x08;
const MAGIC = 0xbeefc0de;
const DATA_VERSION = 2;
/** Where the magic stands in format 1, which a build with LMDB_DATA_V1 writes. */
const MAGIC_OFFSET_FORMAT_1 = 0x10;
const PAGE_BYTES_MIN = 256;
const PAGE_BYTES_MAX = 65_536;

const NARROW_ARCHITECTURES: readonly string[] = ["arm", "ia32", "mips", "mipsel"];

/** Two meta pages, as lmdb writes them first of all. */
export const NEW_STORE_BYTES = 2 * 4096;

/** Present while lmdb opens the store: one that is found there means that the last attempt died. */
const MARKER_NAME = "opening";

/** Opens every entry of a store in the child process. Its arguments: the lmdb module, the store. */
const WALK_SCRIPT = `
  const { open } = require(process.argv[1]);
  const path = process.argv[2];
  const store = open({ path, readOnly: true, noSubdir: false, keyEncoding: "binary", encoding: "binary" });
  for (const entry of store.getRange({})) entry.value.length;
  store.close().then(() => process.exit(0));
`;

/** What lmdb would meet in the directory `path`: it is not let loose on a damaged store. */
export async function inspectStore(path: string): Promise<"new" | "sound" | "damaged"> {
  const shape = await shapeOf(`${path}/data.mdb`);
  if (shape === "foreign") return "damaged";
  if (shape === "empty") return "new";
  const suspect = shape === "short" || (await hasMarker(path));
  return !suspect || (await canBeWalked(path)) ? "sound" : "damaged";
}

/** Runs `open` so that a crash of the process in it is seen by the next `inspectStore`. */
export async function withOpeningMarker<T>(path: string, open: () => T): Promise<T> {
  const marker = `${path}/${MARKER_NAME}`;
  await writeFile(marker, "");
  try {
    return open();
  } finally {
    await rm(marker, { force: true });
  }
}

async function hasMarker(path: string): Promise<boolean> {
  try {
    await (await open(`${path}/${MARKER_NAME}`)).close();
    return true;
  } catch {
    return false;
  }
}

/**
 * `empty`: nothing is there or in it, and lmdb makes a new one. Not even a process that died on
 * opening it makes it suspect: it died before there was anything that could be damaged. Zeros in
 * place of the meta pages are what a crash at the first start leaves: no commit came after them.
 * `short`: the file ends before the last page that was used. That is allowed where the last pages
 * are free, so it proves nothing (mdb.c, mm_last_pg).
 */
async function shapeOf(file: string): Promise<"whole" | "short" | "foreign" | "empty"> {
  if (endianness() !== "LE" || NARROW_ARCHITECTURES.includes(process.arch)) return "whole";
  const head = await readHead(file);
  if (head === null || head.isEmpty) return "empty";
  const first = head.first;
  if (first.getUint32(MAGIC_OFFSET_FORMAT_1, true) === MAGIC) return "whole"; // Not for us to judge.
  const second = head.second;
  if (second === null || !isMeta(first) || !isMeta(second)) return "foreign";
  const newest = transactionOf(first) > transactionOf(second) ? first : second;
  const usedBytes = (newest.getBigUint64(0x90, true) + 1n) * BigInt(pageBytesOf(first));
  return BigInt(head.lengthBytes) < usedBytes ? "short" : "whole";
}

function isMeta(page: DataView): boolean {
  return (
    (page.getUint16(0x12, true) & META_PAGE_FLAG) !== 0 &&
    page.getUint32(0x18, true) === MAGIC &&
    (page.getUint32(0x1c, true) & 0xffff) === DATA_VERSION
  );
}

function pageBytesOf(page: DataView): number {
  return page.getUint32(0x30, true);
}

function transactionOf(page: DataView): bigint {
  return page.getBigUint64(0x98, true);
}

interface Head {
  readonly lengthBytes: number;
  /** No longer than the meta pages of a new store, and zeros up to there. */
  readonly isEmpty: boolean;
  readonly first: DataView;
  /** The other meta page, or null where the first names no place for it. */
  readonly second: DataView | null;
}

async function readHead(file: string): Promise<Head | null> {
  let handle: FileHandle;
  try {
    handle = await open(file, "r+"); // For writing too: lmdb would die of a refusal.
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return null;
    throw diskError("open", file, error);
  }
  try {
    const readMeta = async (offset: number): Promise<DataView> => {
      const bytes = new Uint8Array(META_BYTES);
      await handle.read(bytes, 0, META_BYTES, offset);
      return new DataView(bytes.buffer);
    };
    const first = await readMeta(0);
    const pageBytes = pageBytesOf(first);
    const hasSecond = pageBytes >= PAGE_BYTES_MIN && pageBytes <= PAGE_BYTES_MAX;
    const second = hasSecond ? await readMeta(pageBytes) : null;
    const lengthBytes = (await handle.stat()).size;
    const isEmpty = lengthBytes <= NEW_STORE_BYTES && (await isZero(handle));
    return { lengthBytes, isEmpty, first, second };
  } finally {
    await handle.close();
  }
}

async function isZero(handle: FileHandle): Promise<boolean> {
  const { buffer, bytesRead } = await handle.read(new Uint8Array(NEW_STORE_BYTES), 0);
  return buffer.subarray(0, bytesRead).every((byte) => byte === 0);
}

/**
 * Reads the whole store in a process of its own, some seconds for a million entries.
 *
 * @throws {AshlarError} UNAVAILABLE if that did not come to its end for another reason than the store
 *   (a stop of the service ends it too): its state would be given up for nothing.
 */
function canBeWalked(path: string): Promise<boolean> {
  const lmdbPath = createRequire(import.meta.url).resolve("lmdb");
  return new Promise((resolve, reject) => {
    const child = execFile(process.execPath, ["-e", WALK_SCRIPT, lmdbPath, path], (error) => {
      if (error === null) resolve(true);
      else if (isVerdict(error)) resolve(false);
      else reject(notWalked(path, error));
    });
    child.stdin?.end();
  });
}

/** Whether the process has ended as lmdb ends one, or by itself. */
function isVerdict({ code, signal }: ExecFileException): boolean {
  const isCrash = ["SIGSEGV", "SIGBUS", "SIGABRT"].includes(signal ?? "");
  return isCrash || typeof code === "number";
}

function notWalked(path: string, cause: ExecFileException): AshlarError {
  return new AshlarError(
    "UNAVAILABLE",
    `Cannot look whether the store ${path} is sound: ${cause.signal ?? cause.code} ended the process that read it`,
    { cause, hint: "Start it again" },
  );
}
