/*
 * A meta page of LMDB's data format 2 on a 64-bit little-endian machine. A file has two, at offset
 * 0 and at one page size (mdb.c, MDB_page_header, MDB_db and MDB_meta):
 *
 *     offset  size  field
 *          0     8  number of the page: 0 or 1
 *       0x12     2  page flags: META_PAGE_FLAG is set
 *       0x18     4  MAGIC
 *       0x1c     4  version in the low 16 bits
 *       0x30    48  the tree of free pages; its first 4 bytes are the page size in bytes
 *       0x60    48  the tree of rows
 *       0x90     8  number of the last used page
 *       0x98     8  id of the transaction that wrote this page
 *
 * A tree:
 *
 *          4     2  flags of its keys
 *          6     2  number of its levels: 0 for an empty tree
 *       0x28     8  number of its root page: NO_PAGE for an empty tree
 */

/** Size of the part of a meta page that is read. */
export const META_BYTES = 0xa0;
const META_PAGE_FLAG = 0x08;
const MAGIC = 0xbeefc0de;
export const DATA_FORMAT = 2;
/** Offset of the magic number in format 1, which a build with LMDB_DATA_V1 writes. The version follows. */
const MAGIC_OFFSET_FORMAT_1 = 0x10;
const PAGE_BYTES_MIN = 256;
const PAGE_BYTES_MAX = 65_536;

/** The trees of a meta page: their offset, and the flags that their keys have in a store of Ashlar. */
const TREES = [
  { offset: 0x30, keyFlags: 0x08 }, // Free pages: the keys are numbers.
  { offset: 0x60, keyFlags: 0 },
] as const;
const NO_PAGE = 0xffff_ffff_ffff_ffffn;
/** Pages below this one are meta pages. */
const FIRST_PAGE = 2n;
/** LMDB's CURSOR_STACK. */
const LEVELS_MAX = 32;

/** Size of a page header. */
export const PAGE_HEADER_BYTES = 0x18;
const BRANCH_PAGE_FLAG = 0x01;
const LEAF_PAGE_FLAG = 0x02;

/** The root page of a tree. */
export interface RootPage {
  readonly number: bigint;
  readonly levelCount: number;
}

/** Returns the data format of a file, from its first meta page. Null if LMDB did not write it. */
export function formatOf(first: DataView): number | null {
  if (first.getUint32(0x18, true) === MAGIC) return first.getUint32(0x1c, true) & 0xffff;
  const format = first.getUint32(MAGIC_OFFSET_FORMAT_1 + 4, true) & 0xffff;
  return first.getUint32(MAGIC_OFFSET_FORMAT_1, true) === MAGIC && format === 1 ? format : null;
}

/** Returns the page size that a meta page states. Null if it is none that LMDB uses. */
export function pageBytesOf(meta: DataView): number | null {
  const bytes = meta.getUint32(0x30, true);
  const isPower = (bytes & (bytes - 1)) === 0;
  return isPower && bytes >= PAGE_BYTES_MIN && bytes <= PAGE_BYTES_MAX ? bytes : null;
}

/**
 * Returns the meta page that LMDB uses: that of the last transaction. Null if one of the pages is not valid.
 * LMDB trusts both, and ends the process or hides rows.
 */
export function newestMeta(first: DataView, second: DataView): DataView | null {
  const isPair = pageBytesOf(first) !== null && pageBytesOf(first) === pageBytesOf(second);
  if (!isPair || !isMeta(first, 0n) || !isMeta(second, 1n)) return null;
  return transactionOf(first) > transactionOf(second) ? first : second;
}

/** Returns the number of the last used page. */
export function lastPageOf(meta: DataView): bigint {
  return meta.getBigUint64(0x90, true);
}

/** Returns the root pages of the trees that are not empty. */
export function rootsOf(meta: DataView): RootPage[] {
  return TREES.map(({ offset }) => rootOf(meta, offset)).filter(({ number }) => number !== NO_PAGE);
}

/** Returns whether `header`, PAGE_HEADER_BYTES long, is that of a root page. */
export function isRootPage(header: DataView, { number, levelCount }: RootPage): boolean {
  const flag = levelCount === 1 ? LEAF_PAGE_FLAG : BRANCH_PAGE_FLAG;
  return header.getBigUint64(0, true) === number && (header.getUint16(0x12, true) & flag) !== 0;
}

function isMeta(page: DataView, number: bigint): boolean {
  return (
    page.getBigUint64(0, true) === number &&
    (page.getUint16(0x12, true) & META_PAGE_FLAG) !== 0 &&
    page.getUint32(0x18, true) === MAGIC &&
    (page.getUint32(0x1c, true) & 0xffff) === DATA_FORMAT &&
    lastPageOf(page) >= FIRST_PAGE - 1n &&
    TREES.every((tree) => isTree(page, tree))
  );
}

function isTree(page: DataView, { offset, keyFlags }: (typeof TREES)[number]): boolean {
  if (page.getUint16(offset + 4, true) !== keyFlags) return false;
  const { number, levelCount } = rootOf(page, offset);
  if (number === NO_PAGE || levelCount === 0) return number === NO_PAGE && levelCount === 0;
  return number >= FIRST_PAGE && number <= lastPageOf(page) && levelCount <= LEVELS_MAX;
}

function rootOf(page: DataView, offset: number): RootPage {
  const number = page.getBigUint64(offset + 0x28, true);
  return { number, levelCount: page.getUint16(offset + 6, true) };
}

function transactionOf(page: DataView): bigint {
  return page.getBigUint64(0x98, true);
}
