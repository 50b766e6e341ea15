import * as v from "valibot";
import type { Digest, InodeId, LogIndex } from "../base/ids.ts";
import { shownTime } from "../base/times.ts";
import {
  booleanAt,
  digestAt,
  type Fields,
  fieldsOf,
  indexAt,
  inodeAt,
  integerAt,
  malformed,
  textAt,
  timeAt,
} from "./positional.ts";
import { MODE_MAX, OWNER_MAX, SHORT_TEXT_LENGTH_MAX } from "./schemas.ts";

/** The attributes that files and directories have in common. */
interface CommonAttributes {
  readonly inode: InodeId;
  /** Permission bits: 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Times are milliseconds since the Unix epoch within ±`TIME_MS_MAX`, with fractions. */
  readonly mtimeMs: number;
  readonly atimeMs: number;
  readonly ctimeMs: number;
  /** Log index of the entry that last changed the inode. */
  readonly version: LogIndex;
  readonly storageClass: string;
}

/** Attributes of a file: the fields of stat(2), its content and its storage class. */
export interface FileAttributes extends CommonAttributes {
  readonly kind: "file";
  readonly sizeBytes: number;
  /** A power of two, 1 MiB to 64 MiB: the length of every chunk but the last. */
  readonly chunkSizeBytes: number;
  readonly chunkCount: number;
  /** Whether the content is stored in the metadata. If so, the file has no chunks. */
  readonly isInline: boolean;
  /** Root over the size and the chunk ids, see `contentRootOf`. */
  readonly contentRoot: Digest;
  /** Replica count of the file's storage class. */
  readonly copiesWanted: number;
}

/** Attributes of a directory. */
export interface DirectoryAttributes extends CommonAttributes {
  readonly kind: "directory";
  readonly entryCount: number;
}

export type Attributes = FileAttributes | DirectoryAttributes;

/*
 * On the wire, attributes are an array: the kind, the common fields, the fields of the kind.
 */
const FILE = 0;
const DIRECTORY = 1;
const WHAT = "attributes";
/** Number of fields that both kinds have, including the kind. */
const COMMON_COUNT = 10;

/** Returns the array that `decodeAttributes` reads. */
export function encodeAttributes(attributes: Attributes): unknown[] {
  const { inode, mode, uid, gid, mtimeMs, atimeMs, ctimeMs, version, storageClass } = attributes;
  if (attributes.kind === "directory") {
    const { entryCount } = attributes;
    return [
      DIRECTORY,
      inode,
      mode,
      uid,
      gid,
      mtimeMs,
      atimeMs,
      ctimeMs,
      version,
      storageClass,
      entryCount,
    ];
  }
  return [
    FILE,
    inode,
    mode,
    uid,
    gid,
    mtimeMs,
    atimeMs,
    ctimeMs,
    version,
    storageClass,
    attributes.sizeBytes,
    attributes.chunkSizeBytes,
    attributes.chunkCount,
    attributes.isInline,
    attributes.contentRoot,
    attributes.copiesWanted,
  ];
}

/** Decodes the array of `encodeAttributes`. @throws {AshlarError} PROTOCOL_ERROR */
export function decodeAttributes(value: unknown): Attributes {
  const fields = fieldsOf(value, WHAT, COMMON_COUNT + 1);
  if (fields[0] === FILE) return fileOf(fields);
  if (fields[0] === DIRECTORY) return directoryOf(fields);
  throw malformed(`${WHAT}[0]`, `expected ${FILE} or ${DIRECTORY}`);
}

// One object literal for each kind: a spread of common fields would take longer than the rest of
// the decoding.

function fileOf(fields: Fields): Attributes {
  return {
    kind: "file",
    inode: inodeAt(fields, 1, WHAT),
    mode: integerAt(fields, 2, WHAT, 0, MODE_MAX),
    uid: integerAt(fields, 3, WHAT, 0, OWNER_MAX),
    gid: integerAt(fields, 4, WHAT, 0, OWNER_MAX),
    mtimeMs: shownTime(timeAt(fields, 5, WHAT)),
    atimeMs: shownTime(timeAt(fields, 6, WHAT)),
    ctimeMs: shownTime(timeAt(fields, 7, WHAT)),
    version: indexAt(fields, 8, WHAT),
    storageClass: textAt(fields, 9, WHAT, SHORT_TEXT_LENGTH_MAX),
    sizeBytes: integerAt(fields, 10, WHAT),
    chunkSizeBytes: integerAt(fields, 11, WHAT),
    chunkCount: integerAt(fields, 12, WHAT),
    isInline: booleanAt(fields, 13, WHAT),
    contentRoot: digestAt(fields, 14, WHAT),
    copiesWanted: integerAt(fields, 15, WHAT),
  };
}

function directoryOf(fields: Fields): Attributes {
  return {
    kind: "directory",
    inode: inodeAt(fields, 1, WHAT),
    mode: integerAt(fields, 2, WHAT, 0, MODE_MAX),
    uid: integerAt(fields, 3, WHAT, 0, OWNER_MAX),
    gid: integerAt(fields, 4, WHAT, 0, OWNER_MAX),
    mtimeMs: shownTime(timeAt(fields, 5, WHAT)),
    atimeMs: shownTime(timeAt(fields, 6, WHAT)),
    ctimeMs: shownTime(timeAt(fields, 7, WHAT)),
    version: indexAt(fields, 8, WHAT),
    storageClass: textAt(fields, 9, WHAT, SHORT_TEXT_LENGTH_MAX),
    entryCount: integerAt(fields, 10, WHAT),
  };
}

/** Schema of attributes inside a message that is otherwise a map. */
export const attributesSchema: v.GenericSchema<unknown, Attributes> = v.pipe(
  v.unknown(),
  v.transform(decodeAttributes),
);

/** Returns `message` with its attributes encoded as an array. */
export function withAttributes(message: { readonly attributes: Attributes }): unknown {
  return { ...message, attributes: encodeAttributes(message.attributes) };
}
