import * as v from "valibot";
import { isAddress } from "../base/address.ts";
import {
  type ChunkId,
  type ClusterId,
  DIGEST_BYTES,
  type Digest,
  type InodeId,
  type LogIndex,
  type MemberId,
  type ServerId,
  type SessionId,
  type StagingId,
  type Term,
} from "../base/ids.ts";
import type { EntryName } from "../base/path.ts";
import { NAME_BYTES_MAX, PATH_BYTES_MAX } from "../base/path-faults.ts";
import { shownTime } from "../base/times.ts";

/** Permission bits, with setuid, setgid and sticky. */
export const MODE_MAX = 0o7777;
/** Largest user or group id. */
export const OWNER_MAX = 0xffffffff;
/** Largest user or group id that can be set: chown(2) takes the next one for "unchanged". */
export const OWNER_SET_MAX = OWNER_MAX - 1;
/** Longest short text, in UTF-16 code units. */
export const SHORT_TEXT_LENGTH_MAX = 300;

/**
 * Largest log index, term and id. The next number is a safe integer, too: code that adds one to a
 * value from the wire does not overflow.
 */
export const ID_MAX = 2 ** 52;
/** Largest number of an event in its entry, and position of a chunk: both have 32 bits on disk. */
export const ORDINAL_MAX = 2 ** 32 - 1;

/** The values that a custom schema of this module accepts. Valibot does not describe them. */
export type Shape =
  | { readonly kind: "hex"; readonly digits: number }
  | { readonly kind: "integer"; readonly minimum: number; readonly maximum: number }
  | { readonly kind: "bytes"; readonly lengthMin: number; readonly lengthMax: number };

const shapes = new WeakMap<object, Shape>();

/** Returns what a custom schema of this module accepts, or null. For generators of requests. */
export function shapeOf(schema: object): Shape | null {
  return shapes.get(schema) ?? null;
}

/* The schemas that several services share. A value that passes one has its branded type. */

function hexOf<T>(digits: number): v.GenericSchema<unknown, T> {
  const pattern = new RegExp(`^[0-9a-f]{${digits}}$`);
  const schema = v.custom<T>(
    (value) => typeof value === "string" && pattern.test(value),
    `expected ${digits} lower-case hex digits`,
  );
  shapes.set(schema, { kind: "hex", digits });
  return schema;
}

function integerFrom<T>(
  minimum: number,
  maximum = Number.MAX_SAFE_INTEGER,
): v.GenericSchema<unknown, T> {
  const schema = v.custom<T>(
    (value) =>
      Number.isSafeInteger(value) && (value as number) >= minimum && (value as number) <= maximum,
    `expected an integer from ${minimum} to ${maximum}`,
  );
  shapes.set(schema, { kind: "integer", minimum, maximum });
  return schema;
}

function bytesOf<T>(lengthMin: number, lengthMax: number): v.GenericSchema<unknown, T> {
  const schema = v.custom<T>(
    (value) =>
      value instanceof Uint8Array && value.length >= lengthMin && value.length <= lengthMax,
    `expected ${lengthMin} to ${lengthMax} bytes`,
  );
  shapes.set(schema, { kind: "bytes", lengthMin, lengthMax });
  return schema;
}

export const chunkIdSchema = hexOf<ChunkId>(64);
export const serverIdSchema = hexOf<ServerId>(32);
export const clusterIdSchema = hexOf<ClusterId>(32);
/** Chosen at random by a client for one write of one chunk. Identifies the partial chunk. */
export const writeIdSchema = hexOf<string>(32);
export const stagingIdSchema = hexOf<StagingId>(32);
export const digestSchema = bytesOf<Digest>(DIGEST_BYTES, DIGEST_BYTES);
export const logIndexSchema = integerFrom<LogIndex>(0, ID_MAX);
export const termSchema = integerFrom<Term>(0, ID_MAX);
export const memberIdSchema = integerFrom<MemberId>(1, ID_MAX);
export const inodeIdSchema = integerFrom<InodeId>(1, ID_MAX);
export const sessionIdSchema = integerFrom<SessionId>(1, ID_MAX);
export const countSchema = integerFrom<number>(0);
/** The number of an event in its entry. */
export const ordinalSchema = integerFrom<number>(0, ORDINAL_MAX);
/**
 * A time in a request, in milliseconds since the Unix epoch. Times before 1970 are negative. The
 * handler checks the range, for an error that names the value.
 */
export const timeMsSchema = v.pipe(v.number(), v.finite());
/** A time in a response: see `shownTime`. */
export const shownTimeMsSchema = v.pipe(timeMsSchema, v.transform(shownTime));
export const entryNameSchema = bytesOf<EntryName>(1, NAME_BYTES_MAX);
/** Text of a TCP address, see `parseAddress`. */
export const addressSchema = v.pipe(
  v.string(),
  v.maxLength(300),
  v.check(isAddress, "expected host:port"),
);
/** An absolute path as bytes. The handler checks it with `parsePath`. */
export const pathSchema = bytesOf<Uint8Array>(1, PATH_BYTES_MAX);
export const shortTextSchema = v.pipe(v.string(), v.maxLength(SHORT_TEXT_LENGTH_MAX));
/** A disk of a master without space: `DiskFull` of master/consensus.ts. */
export const diskFullSchema = v.object({
  /** `log`: the master takes no part until it is restarted. `state`: it refuses every change if it leads. */
  kind: v.picklist(["log", "state"]),
  reason: shortTextSchema,
});
/** Why a master does not follow: it refuses the messages of the leader, or the leader those of it. */
export const refusalSchema = v.object({
  /** Time since the last progress. */
  forMs: countSchema,
  /** The expected and the actual value, as a part of a sentence. */
  reason: shortTextSchema,
});
export const bytesSchema = (lengthMax: number): v.GenericSchema<unknown, Uint8Array> =>
  bytesOf<Uint8Array>(0, lengthMax);
