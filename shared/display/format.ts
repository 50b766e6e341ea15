import prettyBytes from "pretty-bytes";
import { toHex } from "../base/bytes.ts";
import { isUtf8 } from "../base/path.ts";
import { shownTime } from "../base/times.ts";
import type { Attributes } from "../protocol/attributes.ts";

/** Returns "1.5 GiB" (powers of 1024) if `isHuman`, else the exact number of bytes. */
export function formatSize(bytes: number, isHuman: boolean): string {
  return isHuman ? prettyBytes(bytes, { binary: true }) : String(bytes);
}

/**
 * Returns a count with its noun: "1 file", "2 files", "0 directories".
 *
 * @param plural the noun for every count but 1; default: `singular` with an "s"
 */
export function formatCount(count: number, singular: string, plural = `${singular}s`): string {
  return `${count} ${count === 1 ? singular : plural}`;
}

/**
 * Returns a time as RFC 3339 in UTC with milliseconds. Fractions are rounded down, also before 1970.
 * A time that no Date holds is formatted as the nearest that one holds.
 */
export function formatTime(timeMs: number): string {
  // biome-ignore lint/style/noRestrictedGlobals: formats a given time, reads no clock.
  return new Date(Math.floor(shownTime(timeMs))).toISOString();
}

/** Returns "2026-11-21 09:14" in local time, for listings. */
export function formatListTime(timeMs: number): string {
  // biome-ignore lint/style/noRestrictedGlobals: formats a given time, reads no clock.
  const date = new Date(Math.floor(shownTime(timeMs)));
  const twoDigits = (number: number): string => String(number).padStart(2, "0");
  const month = twoDigits(date.getMonth() + 1);
  const day = `${date.getFullYear()}-${month}-${twoDigits(date.getDate())}`;
  return `${day} ${twoDigits(date.getHours())}:${twoDigits(date.getMinutes())}`;
}

/** Permission bits of one class of users, indexed by their value. */
const TRIPLETS = ["---", "--x", "-w-", "-wx", "r--", "r-x", "rw-", "rwx"];

/**
 * Returns the kind and the permission bits as ls(1) shows them: "drwxr-xr-x", "-rwsr-xr-x". Set bits
 * above the permissions are lower-case letters with the execute bit, else capitals.
 */
export function formatMode({ kind, mode }: Pick<Attributes, "kind" | "mode">): string {
  const classes = [
    { triplet: mode >> 6, isSpecial: (mode & 0o4000) !== 0, letter: "s" },
    { triplet: mode >> 3, isSpecial: (mode & 0o2000) !== 0, letter: "s" },
    { triplet: mode, isSpecial: (mode & 0o1000) !== 0, letter: "t" },
  ];
  const bits = classes.map(({ triplet, isSpecial, letter }) => {
    const permissions = TRIPLETS[triplet & 7] as string;
    if (!isSpecial) return permissions;
    return permissions.slice(0, 2) + ((triplet & 1) === 0 ? letter.toUpperCase() : letter);
  });
  return (kind === "directory" ? "d" : "-") + bits.join("");
}

/** Returns the size of a file in bytes; 0 for a directory. */
export function sizeOf(attributes: Attributes): number {
  return attributes.kind === "file" ? attributes.sizeBytes : 0;
}

/**
 * Returns the JSON fields of a path or a name: its text under `key`. Bytes that are not UTF-8 are
 * also given in base64 under `key` with the suffix `_base64`.
 */
export function jsonName(key: string, bytes: Uint8Array): Record<string, string> {
  const text = Buffer.from(bytes).toString("utf8");
  if (isUtf8(bytes)) return { [key]: text };
  return { [key]: text, [`${key}_base64`]: Buffer.from(bytes).toString("base64") };
}

/** Returns the JSON fields of the attributes of a file or a directory (docs/cli.md, "JSON"). */
export function jsonAttributes(attributes: Attributes): Record<string, unknown> {
  const common = {
    kind: attributes.kind,
    inode: attributes.inode,
    mode: attributes.mode.toString(8).padStart(4, "0"),
    uid: attributes.uid,
    gid: attributes.gid,
    mtime: formatTime(attributes.mtimeMs),
    ctime: formatTime(attributes.ctimeMs),
    version: attributes.version,
    storage_class: attributes.storageClass,
  };
  if (attributes.kind === "directory") return { ...common, entry_count: attributes.entryCount };
  return {
    ...common,
    size_bytes: attributes.sizeBytes,
    chunk_size_bytes: attributes.chunkSizeBytes,
    chunk_count: attributes.chunkCount,
    is_inline: attributes.isInline,
    copies_wanted: attributes.copiesWanted,
    content_root: toHex(attributes.contentRoot),
  };
}
