import prettyBytes from "pretty-bytes";
import { toHex } from "../../shared/base/bytes.ts";
import { isUtf8 } from "../../shared/base/path.ts";
import type { Attributes } from "../../shared/protocol/namespace-api.ts";

/** "1.5 GiB" for people, exact bytes otherwise. */
export function formatSize(bytes: number, isHuman: boolean): string {
  return isHuman ? prettyBytes(bytes, { binary: true }) : String(bytes);
}

/** What a Date can show (ECMA-262, section 21.4.1.1); a file's time may be anything. */
const TIME_MS_MAX = 8.64e15;

/** RFC 3339 in UTC with milliseconds. */
export function formatTime(timeMs: number): string {
  return new Date(Math.min(timeMs, TIME_MS_MAX)).toISOString();
}

/** "2026-11-21 09:14" in local time, for listings. */
export function formatListTime(timeMs: number): string {
  const date = new Date(timeMs);
  const two = (number: number): string => String(number).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

const TRIPLETS = ["---", "--x", "-w-", "-wx", "r--", "r-x", "rw-", "rwx"];

/** "drwxr-xr-x", as ls(1) shows it. */
export function formatMode(attributes: Attributes): string {
  const { kind, mode } = attributes;
  const bits = [mode >> 6, mode >> 3, mode].map((triplet) => TRIPLETS[triplet & 7]).join("");
  return (kind === "directory" ? "d" : "-") + bits;
}

/** Bytes of a file; 0 for a directory. */
export function sizeOf(attributes: Attributes): number {
  return attributes.kind === "file" ? attributes.sizeBytes : 0;
}

/** A path or name for JSON: text, and the bytes beside it where they are not UTF-8. */
export function jsonName(key: string, bytes: Uint8Array): Record<string, string> {
  const text = Buffer.from(bytes).toString("utf8");
  if (isUtf8(bytes)) return { [key]: text };
  return { [key]: text, [`${key}_base64`]: Buffer.from(bytes).toString("base64") };
}

/** What every command that shows attributes prints of them in JSON. */
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
