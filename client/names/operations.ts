import type { PathInput } from "../../shared/base/path.ts";
import type { Operation } from "../../shared/protocol/namespace-api.ts";
import {
  type AttributeChanges,
  type CopyOptions,
  type CreateOptions,
  FILE_MODE_DEFAULT,
  type MakeDirectoryOptions,
  type RenameOptions,
} from "../options.ts";
import { targetOf } from "./target.ts";

/** Builders of operations. They apply the defaults that `options.ts` documents. */

const DIRECTORY_MODE = 0o755;

/** Builds `make-directory`. */
export function makeDirectory(path: PathInput, options: MakeDirectoryOptions): Operation {
  const { parents = false, mode = DIRECTORY_MODE, uid = 0, gid = 0 } = options;
  return { kind: "make-directory", target: targetOf(path), parents, mode, uid, gid };
}

/** Builds `create`: an empty file. */
export function create(path: PathInput, options: CreateOptions): Operation {
  const { mode = FILE_MODE_DEFAULT, uid = 0, gid = 0 } = options;
  return { kind: "create", target: targetOf(path), mode, uid, gid };
}

/** Builds `rename`. Replaces an existing target if `replace` is true. */
export function rename(from: PathInput, to: PathInput, options: RenameOptions): Operation {
  const { replace = false } = options;
  return { kind: "rename", from: targetOf(from), to: targetOf(to), noReplace: !replace };
}

/** Builds `copy`: by reference. Replaces an existing target if `replace` is true. */
export function copy(from: PathInput, to: PathInput, options: CopyOptions): Operation {
  const { replace = false, preserve = false, uid = 0, gid = 0 } = options;
  return { kind: "copy", from: targetOf(from), to: targetOf(to), replace, preserve, uid, gid };
}

/** Builds `set-attributes` from the attributes that are present in `changes`. */
export function setAttributes(path: PathInput, changes: AttributeChanges): Operation {
  const { mode, uid, gid, mtimeMs, atimeMs } = changes;
  return {
    kind: "set-attributes",
    target: targetOf(path),
    ...(mode === undefined ? {} : { mode }),
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
    ...(mtimeMs === undefined ? {} : { mtimeMs }),
    ...(atimeMs === undefined ? {} : { atimeMs }),
  };
}
