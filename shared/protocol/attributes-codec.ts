import * as v from "valibot";
import type { Attributes } from "./namespace-api.ts";
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

/** Attributes as they travel: an array that begins with the kind, then what both have in common. */

const FILE = 0;
const DIRECTORY = 1;
const WHAT = "attributes";
/** The kind, and what both kinds have. */
const COMMON_COUNT = 10;

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

/** What `encodeAttributes` made. @throws {AshlarError} PROTOCOL_ERROR for anything else. */
export function decodeAttributes(value: unknown): Attributes {
  const fields = fieldsOf(value, WHAT, COMMON_COUNT + 1);
  if (fields[0] === FILE) return fileOf(fields);
  if (fields[0] === DIRECTORY) return directoryOf(fields);
  throw malformed(`${WHAT}[0]`, `expected ${FILE} or ${DIRECTORY}`);
}

// One literal for each: a spread of what they have in common costs more than all the rest.

function fileOf(fields: Fields): Attributes {
  return {
    kind: "file",
    inode: inodeAt(fields, 1, WHAT),
    mode: integerAt(fields, 2, WHAT, 0, MODE_MAX),
    uid: integerAt(fields, 3, WHAT, 0, OWNER_MAX),
    gid: integerAt(fields, 4, WHAT, 0, OWNER_MAX),
    mtimeMs: timeAt(fields, 5, WHAT),
    atimeMs: timeAt(fields, 6, WHAT),
    ctimeMs: timeAt(fields, 7, WHAT),
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
    mtimeMs: timeAt(fields, 5, WHAT),
    atimeMs: timeAt(fields, 6, WHAT),
    ctimeMs: timeAt(fields, 7, WHAT),
    version: indexAt(fields, 8, WHAT),
    storageClass: textAt(fields, 9, WHAT, SHORT_TEXT_LENGTH_MAX),
    entryCount: integerAt(fields, 10, WHAT),
  };
}

/** For messages that are maps but for the attributes in them. */
export const attributesSchema: v.GenericSchema<unknown, Attributes> = v.pipe(
  v.unknown(),
  v.transform(decodeAttributes),
);

/** `message` as it travels, with its attributes as an array. */
export function withAttributes(message: { readonly attributes: Attributes }): unknown {
  return { ...message, attributes: encodeAttributes(message.attributes) };
}
