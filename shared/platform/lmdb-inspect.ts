import { type ExecFileException, execFile } from "node:child_process";
import { type FileHandle, lstat, open, readlink, rm, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { endianness } from "node:os";
import { AshlarError } from "../base/errors.ts";
import { diskError, errnoOf } from "./disk-error.ts";

/*
 * lmdb ends the process where it should throw: with SIGSEGV when it opens a file of another format,
 * with SIGBUS when it reads beyond the end of a truncated file, with SIGABRT on a damaged page (all
 * seen with 2.9.4 and 3.5.6). Therefore a file is inspected before lmdb opens it, and a suspect file is first
 * read in a child process.
 */

/*
 * A meta page of LMDB's data format 2 on a 64-bit little-endian machine. A file has two, at offset
 * 0 and at one page size (mdb.c, MDB_page_header and MDB_meta):
 *
 *     offset  size  field
 *       0x12     2  page flags: META_PAGE_FLAG is set
 *       0x18     4  MAGIC
 *       0x1c     4  version in the low 16 bits
 *       0x30     4  page size in bytes
 *       0x90     8  number of the last used page
 *       0x98     8  id of the transaction that wrote this page
 */
const META_BYTES = 0xa0;
const META_PAGE_FLAG = 0x08;
const MAGIC = 0xbeefc0de;
const DATA_VERSION = 2;
/** Offset of the magic number in format 1, which a build with LMDB_DATA_V1 writes. */
const MAGIC_OFFSET_FORMAT_1 = 0x10;
const PAGE_BYTES_MIN = 256;
const PAGE_BYTES_MAX = 65_536;

const ARCHITECTURES_32_BIT: readonly string[] = ["arm", "ia32", "mips", "mipsel"];

/** Size of the two meta pages, which lmdb writes first. */
export const NEW_STORE_BYTES = 2 * 4096;

/**
 * A file that exists while lmdb opens the store. If it exists later, the process died in between.
 */
const MARKER_NAME = "opening-2";

/**
 * A symbolic link to `OWNER`: this version has opened the store since version 0.1.0 did. That version has a
 * file of this name for the purpose of `MARKER_NAME`, and removes it. A link needs no space on a full disk.
 */
const OWNER_NAME = "opening";
const OWNER = "lmdb-2";

/** Reads every row of a store in the child process. Arguments: the lmdb module, the store. */
const READ_SCRIPT = `
  const { open } = require(process.argv[1]);
  const path = process.argv[2];
  const store = open({ path, readOnly: true, noSubdir: false, keyEncoding: "binary", encoding: "binary" });
  let count = 0;
  for (const entry of store.getRange({})) count += entry.value.length >= 0 ? 1 : 0;
  const isComplete = count === store.getStats().entryCount; // A range ends at some damaged pages.
  store.close().then(() => process.exit(isComplete ? 0 : 1));
`;

/**
 * The condition of a store. `foreign-list`: sound, but its free list can be one of lmdb 3, which lmdb 2 must
 * not use: see `convertStore`.
 */
export type StoreCondition = "new" | "sound" | "foreign-list" | "damaged";

/**
 * Returns the condition of the store in the directory `path`. lmdb must not open a damaged store.
 */
export async function inspectStore(path: string): Promise<StoreCondition> {
  const shape = await classifyFile(`${path}/data.mdb`);
  if (shape === "foreign") return "damaged";
  if (shape === "empty") return "new";
  const isOwn = await hasOwner(path);
  // The conversion reads every row, and must not end this process.
  const isSuspect = shape === "short" || !isOwn || (await exists(`${path}/${MARKER_NAME}`));
  if (isSuspect && !(await canBeRead(path))) return "damaged";
  return isOwn ? "sound" : "foreign-list";
}

/**
 * Runs `open` with a marker file, so that the next `inspectStore` detects a crash of the process. The store
 * is then one of this version.
 */
export async function withOpeningMarker<T>(path: string, open: () => T): Promise<T> {
  await markSuspect(path);
  try {
    if (!(await hasOwner(path))) {
      await rm(`${path}/${OWNER_NAME}`, { force: true });
      await symlink(OWNER, `${path}/${OWNER_NAME}`);
    }
    return open();
  } finally {
    await rm(`${path}/${MARKER_NAME}`, { force: true });
  }
}

/** Marks a store as suspect: a crash of the process before the next `withOpeningMarker` is detected. */
export async function markSuspect(path: string): Promise<void> {
  await writeFile(`${path}/${MARKER_NAME}`, "");
}

async function hasOwner(path: string): Promise<boolean> {
  try {
    return (await readlink(`${path}/${OWNER_NAME}`)) === OWNER;
  } catch {
    return false; // Missing, or a file of version 0.1.0.
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch {
    return false;
  }
}

/**
 * Classifies the data file of a store by its meta pages.
 *
 * - `empty`: the file is missing or empty, or has zeros in place of the meta pages, as after a
 *   crash at the first start. lmdb creates a new store. It is not suspect even if a process died
 *   while opening it, because there was no data yet.
 * - `short`: the file ends before the last used page. That is legal if the last pages are free, so
 *   it proves no damage (mdb.c, mm_last_pg).
 * - `foreign`: the file has no valid meta pages.
 */
async function classifyFile(file: string): Promise<"whole" | "short" | "foreign" | "empty"> {
  if (endianness() !== "LE" || ARCHITECTURES_32_BIT.includes(process.arch)) return "whole";
  const head = await readHead(file);
  if (head === null || head.isEmpty) return "empty";
  const first = head.first;
  if (first.getUint32(MAGIC_OFFSET_FORMAT_1, true) === MAGIC) return "whole"; // Format 1: lmdb decides.
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

/** The beginning of a data file. */
interface Head {
  readonly lengthBytes: number;
  /** Whether the file is at most as long as two meta pages, and contains only zeros. */
  readonly isEmpty: boolean;
  readonly first: DataView;
  /** The second meta page. Null if the first one has no valid page size. */
  readonly second: DataView | null;
}

async function readHead(file: string): Promise<Head | null> {
  let handle: FileHandle;
  try {
    handle = await open(file, "r+"); // lmdb crashes if it cannot open for writing.
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
 * Reads the whole store in a child process. A million rows take some seconds.
 *
 * @throws {AshlarError} UNAVAILABLE if the child ended for a reason other than the store, such as a
 *   stop of the service. An intact store must not be rebuilt then.
 */
function canBeRead(path: string): Promise<boolean> {
  const lmdbPath = createRequire(import.meta.url).resolve("lmdb");
  return new Promise((resolve, reject) => {
    const child = execFile(process.execPath, ["-e", READ_SCRIPT, lmdbPath, path], (error) => {
      if (error === null) resolve(true);
      else if (isConclusive(error)) resolve(false);
      else reject(notRead(path, error));
    });
    child.stdin?.end();
  });
}

/** Returns whether the child exited normally or by a crash of lmdb, and was not stopped. */
function isConclusive({ code, signal }: ExecFileException): boolean {
  const isCrash = ["SIGSEGV", "SIGBUS", "SIGABRT"].includes(signal ?? "");
  return isCrash || typeof code === "number";
}

function notRead(path: string, cause: ExecFileException): AshlarError {
  return new AshlarError(
    "UNAVAILABLE",
    `Cannot check the store ${path}: ${cause.signal ?? cause.code} ended the process that read it`,
    { cause, hint: "Start the process again" },
  );
}
