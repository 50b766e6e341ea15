import { PATH_BYTES_MAX } from "../base/path-faults.ts";
import type { Target } from "./namespace-api.ts";
import { type Fields, fieldsOf, inodeAt, malformed } from "./positional.ts";

/** Encodes a target: its path, its inode, `[inode, path]`, or nil if it has neither. */
export function encodeTarget({ inode, path }: Target): unknown {
  if (inode === undefined) return path ?? null;
  return path === undefined ? inode : [inode, path];
}

/** Decodes a result of `encodeTarget` at position `at`. @throws {AshlarError} PROTOCOL_ERROR */
export function targetAt(fields: Fields, at: number, what: string): Target {
  const value = fields[at];
  if (isPath(value)) return { path: value };
  if (value === null) return {};
  if (typeof value === "number") return { inode: inodeAt(fields, at, what) };
  const both = fieldsOf(value, `${what}[${at}]`, 2);
  const path = both[1];
  if (isPath(path)) return { inode: inodeAt(both, 0, `${what}[${at}]`), path };
  throw malformed(`${what}[${at}]`, "expected a path, an inode or both");
}

/**
 * Returns whether `value` has the type and length of a path. The handler checks it with
 * `parsePath`.
 */
function isPath(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array && value.length >= 1 && value.length <= PATH_BYTES_MAX;
}
