import type { RemotePath } from "../remote-paths.ts";
import { mtimeMsOf } from "./local-attributes.ts";
import type { TransferJob } from "./transfer-job.ts";
import type { LocalEntry } from "./walk-local.ts";

const MODE_BITS = 0o7777;
const PERMISSION_BITS = 0o777;
/** The owner of a directory needs these bits to make entries in it. */
const OWNER_BITS = 0o700;
/** Mode of a file whose source has none that means something: standard input, a FIFO, a device. */
const NEW_FILE_MODE = 0o666;

/** Attributes of a source that `--preserve` keeps. Times are whole milliseconds. */
export interface KeptAttributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeMs: number;
}

/** One step of a put. */
export type Upload =
  /** `entry` is null for standard input. */
  | {
      readonly kind: "file";
      readonly entry: LocalEntry | null;
      readonly target: RemotePath;
      /** Whether the file was found by a walk: a special file in its place is refused. */
      readonly isInTree: boolean;
    }
  /** A directory that was made. */
  | { readonly kind: "made" }
  /** Attributes of a directory, to set after its entries were put. */
  | {
      readonly kind: "finish";
      readonly target: RemotePath;
      readonly attributes: Partial<KeptAttributes>;
    }
  /** A source that cannot be put. */
  | { readonly kind: "failed"; readonly error: unknown };

/** Context of all uploads of one command. */
export type PutJob = TransferJob;

/** Returns the attributes of a local file or directory. */
export function keptAttributes({ stats }: Pick<LocalEntry, "stats">): KeptAttributes {
  return {
    mode: Number(stats.mode) & MODE_BITS,
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    mtimeMs: mtimeMsOf(stats),
  };
}

/** Returns the permission bits of a new file: those of its source without the umask, as in cp(1). */
export function newFileMode({ context }: PutJob, entry: LocalEntry | null): number {
  const isRegular = entry?.stats.isFile() === true;
  const bits = isRegular ? Number(entry.stats.mode) & PERMISSION_BITS : NEW_FILE_MODE;
  return bits & ~context.env.umask;
}

/** As `newFileMode` for a directory. `whileFilled` applies until its entries were put. */
export function newDirectoryMode(
  { context, options }: PutJob,
  entry: Pick<LocalEntry, "stats">,
): { readonly whileFilled: number; readonly final: number } {
  const { mode } = keptAttributes(entry);
  const final = options["preserve"] === true ? mode : mode & PERMISSION_BITS & ~context.env.umask;
  return { whileFilled: (final & PERMISSION_BITS) | OWNER_BITS, final };
}
