import type { AttributeChanges } from "../../options.ts";
import type { SyncAttributes, SyncFile } from "./sync-tree.ts";

const SET_IDS = 0o6000;
const SET_UID = 0o4000;

/**
 * The result of a comparison by size and time. `compare`: the content must be compared, too.
 */
export type FileComparison = "same" | "changed" | "compare";

/**
 * Compares a file of the source with the file of the same path in the target. Another time alone does
 * not mean another content, so the content is compared, which takes one read of the local file.
 */
export function compareFiles(
  source: SyncFile,
  target: SyncFile,
  { isChecksum }: { readonly isChecksum: boolean },
): FileComparison {
  if (source.sizeBytes !== target.sizeBytes) return "changed";
  if (isChecksum) return "compare";
  return source.attributes.mtimeMs === target.attributes.mtimeMs ? "same" : "compare";
}

/** Which attributes of the source a target has after a sync. */
export interface KeptRule {
  readonly isTimeKept: boolean;
  /** With --preserve: permission bits and owner. */
  readonly isPreserved: boolean;
  /** Whether every owner can be set at the target, see `SyncTree`. */
  readonly keepsOwners: boolean;
}

/** Returns the attributes that the target lacks; null if it has all that are kept. */
export function missingAttributes(
  source: SyncAttributes,
  target: SyncAttributes,
  { isTimeKept, isPreserved, keepsOwners }: KeptRule,
): AttributeChanges | null {
  const hasTime = !isTimeKept || source.mtimeMs === target.mtimeMs;
  const hasOwner =
    !isPreserved || !keepsOwners || (source.uid === target.uid && source.gid === target.gid);
  const hasMode = !isPreserved || possibleMode(source, target, keepsOwners) === target.mode;
  if (hasTime && hasOwner && hasMode) return null;
  const { mode, uid, gid, mtimeMs } = source;
  return { ...(isTimeKept ? { mtimeMs } : {}), ...(isPreserved ? { mode, uid, gid } : {}) };
}

/**
 * Returns the mode that the target can have. Without the owner of the source it has no setuid and
 * setgid bit (see `applyAttributes`), and a second sync must not try to set them again.
 */
function possibleMode(
  source: SyncAttributes,
  target: SyncAttributes,
  keepsOwners: boolean,
): number {
  if (keepsOwners || (source.uid === target.uid && source.gid === target.gid)) return source.mode;
  return source.mode & ~(source.gid === target.gid ? SET_UID : SET_IDS);
}
