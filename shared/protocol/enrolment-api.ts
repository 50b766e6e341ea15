import * as v from "valibot";
import { toHex } from "../base/bytes.ts";
import type { Digest } from "../base/ids.ts";
import type { Hasher } from "../ports/hasher.ts";
import type { Random } from "../ports/random.ts";
import { serverLocationSchema } from "./intent.ts";
import { defineCall } from "./method.ts";
import { BY_OPERATORS } from "./roles.ts";
import { countSchema, digestSchema, shownTimeMsSchema } from "./schemas.ts";

/* The enrolment of chunkservers, and which versions of the chunk key are in use: docs/decisions/0019. */

const DAY_MS = 24 * 60 * 60 * 1_000;
/** Longest time for which a join token is valid. */
export const JOIN_TOKEN_VALID_MS_MAX = 30 * DAY_MS;
/** Most characters of a join token. */
export const JOIN_TOKEN_LENGTH_MAX = 100;
const JOIN_TOKEN_PREFIX = "ashlar-join-";
const JOIN_TOKEN_BYTES = 32;
const JOIN_TOKEN_ID_BYTES = 5;
/** Most join tokens that are valid at the same time. */
export const JOIN_TOKENS_MAX = 64;

/** Makes a join token. Only its hash is sent to the masters. */
export function makeJoinToken(random: Pick<Random, "bytes">): string {
  return JOIN_TOKEN_PREFIX + toHex(random.bytes(JOIN_TOKEN_BYTES));
}

/** Returns the hash by which the masters know a join token. */
export function joinTokenHash(hasher: Hasher, token: string): Digest {
  return hasher.deriveKey("ashlar 2026 join token", new TextEncoder().encode(token));
}

/** Returns the id of a join token. It is part of the hash of a random secret, so it tells nothing about the token. */
export function joinTokenId(tokenHash: Uint8Array): string {
  return toHex(tokenHash.subarray(0, JOIN_TOKEN_ID_BYTES));
}

const joinTokenIdSchema = v.pipe(v.string(), v.regex(/^[0-9a-f]{10}$/));

const enrolmentStatusSchema = v.object({
  /** Whether a chunkserver enrols without a token. */
  isOpen: v.boolean(),
  /** The version of the chunk key that new intents have. From 1. */
  keyVersion: countSchema,
  /** All versions that are accepted, oldest first. */
  acceptedVersions: v.array(countSchema),
  /** The valid join tokens: their ids (`joinTokenId`), and when they expire, in cluster time. */
  tokens: v.array(v.object({ id: joinTokenIdSchema, expiresMs: shownTimeMsSchema })),
  /** The live chunkservers that have not proved their credential to this leader. */
  notEnrolled: v.array(serverLocationSchema),
  /** The recorded chunkservers that are not live. It is not known whether they have enrolled. */
  silent: v.array(serverLocationSchema),
});
/** The enrolment of chunkservers. */
export type EnrolmentStatus = v.InferOutput<typeof enrolmentStatusSchema>;

/** Returns the enrolment. Refused with VERSION_MISMATCH below feature level 13. */
export const enrolmentStatus = defineCall(
  "fleet.enrolment",
  BY_OPERATORS,
  v.object({}),
  enrolmentStatusSchema,
);

/** Ids of join tokens. Null: all. */
const joinTokenIdsSchema = v.pipe(v.array(joinTokenIdSchema), v.maxLength(JOIN_TOKENS_MAX));

/**
 * Changes the enrolment and returns it. Repeating a change has no effect. Closing rotates the chunk key if the
 * enrolment was open. With `rotatesFrom` it also rotates the key of a closed enrolment: PRECONDITION_FAILED if
 * the newest version of the key is not that one. This needs feature level 14; a leader of an older version ignores
 * `rotatesFrom`. Closing is refused with PRECONDITION_FAILED while a live chunkserver has not enrolled, unless it is
 * forced. Unknown ids of tokens to revoke are ignored.
 */
export const changeEnrolment = defineCall(
  "fleet.change-enrolment",
  BY_OPERATORS,
  v.object({
    change: v.variant("kind", [
      v.object({ kind: v.literal("add-token"), tokenHash: digestSchema, validMs: countSchema }),
      v.object({ kind: v.literal("open") }),
      v.object({ kind: v.literal("revoke-tokens"), ids: v.nullable(joinTokenIdsSchema) }),
      v.object({
        kind: v.literal("close"),
        isForced: v.boolean(),
        rotatesFrom: v.optional(countSchema),
      }),
    ]),
  }),
  enrolmentStatusSchema,
);
/** A change of the enrolment, as an operator requests it. */
export type RequestedEnrolmentChange = ReturnType<
  (typeof changeEnrolment)["parseRequest"]
>["change"];
