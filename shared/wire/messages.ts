import * as v from "valibot";
import { AshlarError } from "../base/errors.ts";
import { parseClusterId } from "../base/ids.ts";
import { type Parser, parser } from "../protocol/method.ts";
import type { WireLimits } from "./limits.ts";
import type { PeerIdentity } from "./rpc.ts";

/* The heads of the frames of the wire itself: handshake, requests and credit. */

/** Longest head of a frame of the handshake. */
export const HANDSHAKE_HEAD_BYTES_MAX = 4096;

/** Smallest head limit that a peer may announce: errors and the frames of the wire fit into it. */
const HEAD_BYTES_MAX_MIN = 1024;

/** The limits that the handshake exchanges. They bound the frames that one end may send. */
export type PeerLimits = Pick<
  WireLimits,
  "headBytesMax" | "bodyBytesMax" | "streamWindowBytes" | "connectionWindowBytes" | "inFlightMax"
>;

/** Head of the frames hello and welcome. */
export interface Hello {
  /** Protocol version of the sender. */
  readonly version: number;
  /** Oldest version that the sender supports. */
  readonly versionOldest: number;
  readonly identity: PeerIdentity;
  readonly limits: PeerLimits;
}

const positiveSchema = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(2 ** 40));

/** Parses the head of hello or welcome. */
export const parseHello: Parser<Hello> = parser(
  "hello",
  v.object({
    version: positiveSchema,
    versionOldest: positiveSchema,
    identity: v.object({
      role: v.picklist(["master", "chunkserver", "client"]),
      clusterId: v.nullable(
        v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/), v.transform(parseClusterId)),
      ),
      name: v.pipe(v.string(), v.maxLength(300)),
    }),
    limits: v.object({
      headBytesMax: v.pipe(positiveSchema, v.minValue(HEAD_BYTES_MAX_MIN)),
      bodyBytesMax: positiveSchema,
      streamWindowBytes: positiveSchema,
      connectionWindowBytes: positiveSchema,
      inFlightMax: positiveSchema,
    }),
  }),
);

/** Head of a request. `timeoutMs` is the time left until the deadline; null: no deadline. */
export type RequestHead = readonly [method: string, timeoutMs: number | null, request: unknown];

/**
 * Parses the head of a request, without a schema, because it runs for every call.
 *
 * @throws {AshlarError} PROTOCOL_ERROR
 */
export function parseRequestHead(head: unknown): RequestHead {
  if (Array.isArray(head) && head.length >= 3 && typeof head[0] === "string") {
    const timeoutMs: unknown = head[1];
    if (timeoutMs === null || (typeof timeoutMs === "number" && timeoutMs >= 0)) {
      return [head[0], timeoutMs, head[2]];
    }
  }
  throw new AshlarError(
    "PROTOCOL_ERROR",
    "Cannot read a request: expected a method, a timeout and a value",
  );
}

/** Parses the head of a credit frame: a number of bytes. @throws {AshlarError} PROTOCOL_ERROR */
export function parseCredit(head: unknown): number {
  if (typeof head === "number" && Number.isInteger(head) && head > 0) return head;
  throw new AshlarError("PROTOCOL_ERROR", "Cannot read credit: expected a positive integer");
}
