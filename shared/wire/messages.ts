import * as v from "valibot";
import { AshlarError } from "../base/errors.ts";
import { parseClusterId } from "../base/ids.ts";
import { type Parser, parser } from "../protocol/method.ts";
import type { WireLimits } from "./limits.ts";
import type { PeerIdentity } from "./rpc.ts";

/** What the heads of the wire's own frames say. */

/** Longest head of a frame of the handshake. */
export const HANDSHAKE_HEAD_BYTES_MAX = 4096;

/** Errors and the wire's own frames fit a head of this length: nobody may take less. */
const HEAD_BYTES_MAX_MIN = 1024;

/** What one end may send to the other. */
export type PeerLimits = Pick<
  WireLimits,
  "headBytesMax" | "bodyBytesMax" | "streamWindowBytes" | "connectionWindowBytes" | "inFlightMax"
>;

/** Head of hello and of welcome. */
export interface Hello {
  /** The protocol that the sender speaks, and the oldest that it still understands. */
  readonly version: number;
  readonly versionOldest: number;
  readonly identity: PeerIdentity;
  readonly limits: PeerLimits;
}

const positiveSchema = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(2 ** 40));

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

/** Head of a request. `timeoutMs` is what is left of the deadline, null for none. */
export type RequestHead = readonly [method: string, timeoutMs: number | null, request: unknown];

/** By hand: it runs for every call. @throws {AshlarError} PROTOCOL_ERROR */
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

/** Head of credit: bytes given back. @throws {AshlarError} PROTOCOL_ERROR */
export function parseCredit(head: unknown): number {
  if (typeof head === "number" && Number.isInteger(head) && head > 0) return head;
  throw new AshlarError("PROTOCOL_ERROR", "Cannot read credit: expected a positive integer");
}
