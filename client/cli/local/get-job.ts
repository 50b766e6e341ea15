import type { Attributes, FileAttributes } from "../../../shared/protocol/attributes.ts";
import type { ReadOptions } from "../../options.ts";
import type { LocalPath } from "../local-path.ts";
import type { RemotePath } from "../remote-paths.ts";
import type { LocalAttributes } from "./local-attributes.ts";
import type { TransferJob } from "./transfer-job.ts";

const PERMISSION_BITS = 0o777;

/** One step of a get. */
export type Download =
  | {
      readonly kind: "file";
      readonly source: RemotePath;
      readonly attributes: FileAttributes;
      /** Local path; null for standard output. */
      readonly target: LocalPath | null;
    }
  /** A local directory that was made. */
  | { readonly kind: "made" }
  /** Attributes of a local directory, to set after its entries were written. */
  | { readonly kind: "finish"; readonly target: LocalPath; readonly attributes: LocalAttributes }
  /** A source that cannot be read. */
  | { readonly kind: "failed"; readonly error: unknown };

/** Context of all downloads of one command. */
export interface GetJob extends TransferJob {
  /** With --at: the index at which all files are read. */
  readonly readOptions: ReadOptions;
}

/**
 * Returns the attributes of the local copy. Without --preserve it has the permission bits of its
 * source without the umask, as in cp(1).
 */
export function localAttributes(
  { context, options }: GetJob,
  { mode, uid, gid, mtimeMs }: Attributes,
): LocalAttributes {
  if (options["preserve"] === true) return { mode, owner: { uid, gid }, mtimeMs };
  return { mode: mode & PERMISSION_BITS & ~context.env.umask, owner: null, mtimeMs: null };
}
