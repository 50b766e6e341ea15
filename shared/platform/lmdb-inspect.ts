import { type ExecFileException, execFile } from "node:child_process";
import {
  type FileHandle,
  lstat,
  open,
  readlink,
  symlink,
  unlink,
  writeFile,
} from "node:fs/promises";
import { createRequire } from "node:module";
import { endianness } from "node:os";
import { AshlarError } from "../base/errors.ts";
import { diskError, errnoOf } from "./disk-error.ts";
import { storeFileError } from "./lmdb-error.ts";
import {
  DATA_FORMAT,
  formatOf,
  isRootPage,
  lastPageOf,
  META_BYTES,
  newestMeta,
  PAGE_HEADER_BYTES,
  pageBytesOf,
  rootsOf,
} from "./lmdb-meta.ts";

/*
 * lmdb ends the process where it should throw: with SIGSEGV when it opens a file of another format,
 * with SIGBUS when it reads beyond the end of a truncated file, with SIGABRT on a damaged page (all
 * seen with 2.9.4 and 3.5.6). Therefore a file is inspected before lmdb opens it, and a suspect file is first
 * read in a child process.
 */

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
  await checkLockFile(path);
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
  let opened: T;
  try {
    if (!(await hasOwner(path))) await claim(path);
    opened = open();
  } catch (error) {
    await removeMarker(path).catch(() => {}); // The first error is reported.
    throw error;
  }
  await removeMarker(path);
  return opened;
}

/** lmdb ends the process with SIGSEGV if it cannot write to its lock file. @throws {AshlarError} see `storeFileError` */
async function checkLockFile(path: string): Promise<void> {
  await changeFile({ path, action: "write", name: "lock.mdb" }, async (file) => {
    try {
      await (await open(file, "r+")).close();
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error; // lmdb creates it.
    }
  });
}

/** Records that this version has opened the store. */
async function claim(path: string): Promise<void> {
  await changeFile({ path, action: "replace", name: OWNER_NAME }, async (file) => {
    await removeFile(file);
    await symlink(OWNER, file);
  });
}

async function removeMarker(path: string): Promise<void> {
  await changeFile({ path, action: "remove", name: MARKER_NAME }, removeFile);
}

async function removeFile(file: string): Promise<void> {
  try {
    await unlink(file);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
}

/** Changes a file of the store. @throws {AshlarError} see `storeFileError` */
async function changeFile(
  { path, action, name }: { readonly path: string; readonly action: string; readonly name: string },
  change: (file: string) => Promise<void>,
): Promise<void> {
  const file = `${path}/${name}`;
  try {
    await change(file);
  } catch (error) {
    throw storeFileError({ path, action, file }, error);
  }
}

/** Marks a store as suspect: a crash of the process before the next `withOpeningMarker` is detected. */
export async function markSuspect(path: string): Promise<void> {
  const action = "write";
  await changeFile({ path, action, name: MARKER_NAME }, (file) => writeFile(file, ""));
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
 * - `foreign`: the file has no valid meta pages, or its trees do not begin where they say.
 *
 * @throws {AshlarError} VERSION_MISMATCH for another data format of LMDB
 */
async function classifyFile(file: string): Promise<"whole" | "short" | "foreign" | "empty"> {
  if (endianness() !== "LE" || ARCHITECTURES_32_BIT.includes(process.arch)) return "whole";
  let handle: FileHandle;
  try {
    handle = await open(file, "r+"); // lmdb crashes if it cannot open for writing.
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return "empty";
    throw diskError("open", file, error);
  }
  try {
    return await classify(handle, file);
  } catch (error) {
    throw error instanceof AshlarError ? error : diskError("read", file, error);
  } finally {
    await handle.close();
  }
}

async function classify(
  handle: FileHandle,
  file: string,
): Promise<"whole" | "short" | "foreign" | "empty"> {
  const lengthBytes = (await handle.stat()).size;
  if (lengthBytes <= NEW_STORE_BYTES && (await isZero(handle))) return "empty";
  const first = await readPart(handle, { offset: 0, lengthBytes: META_BYTES });
  const format = formatOf(first);
  if (format !== null && format !== DATA_FORMAT) throw otherFormat(file, format);
  const pageBytes = pageBytesOf(first);
  if (pageBytes === null) return "foreign";
  const second = await readPart(handle, { offset: pageBytes, lengthBytes: META_BYTES });
  const newest = newestMeta(first, second);
  if (newest === null) return "foreign";
  if (BigInt(lengthBytes) < (lastPageOf(newest) + 1n) * BigInt(pageBytes)) return "short";
  for (const root of rootsOf(newest)) {
    const offset = Number(root.number) * pageBytes;
    const header = await readPart(handle, { offset, lengthBytes: PAGE_HEADER_BYTES });
    if (!isRootPage(header, root)) return "foreign";
  }
  return "whole";
}

function otherFormat(file: string, format: number): AshlarError {
  return new AshlarError(
    "VERSION_MISMATCH",
    `Cannot open the store file ${file}: expected LMDB data format ${DATA_FORMAT}: current value is ${format}`,
    { hint: "Another program or another version of lmdb wrote the file. It is unchanged" },
  );
}

/** Reads a part of a file. Bytes after its end are zeros. */
async function readPart(
  handle: FileHandle,
  { offset, lengthBytes }: { readonly offset: number; readonly lengthBytes: number },
): Promise<DataView> {
  const bytes = new Uint8Array(lengthBytes);
  await handle.read(bytes, 0, lengthBytes, offset);
  return new DataView(bytes.buffer);
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
