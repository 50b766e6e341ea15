import * as v from "valibot";
import { AshlarError } from "../base/errors.ts";
import type { Role } from "./roles.ts";

/** Parses a value from the wire. @throws {AshlarError} PROTOCOL_ERROR with the name of the field */
export type Parser<T> = (value: unknown) => T;

/** Returns the value to send over the wire. */
export type Encoder<T> = (message: T) => unknown;

/**
 * `requestWorkMax` of a method with large requests: some 60 ms, from the slowest forms of a head. Room for
 * 10,000 operations that are arrays and 10,000 preconditions, or for 14,000 reports of chunks.
 */
export const REQUEST_WORK_MAX = 600_000;

/** A method with one request and one response. */
export interface CallMethod<Request, Response> {
  readonly kind: "call";
  /** Unique: "service.verb". Never reused with another meaning. */
  readonly name: string;
  /** Other callers are refused with WRONG_ROLE. */
  readonly callers: readonly Role[];
  readonly parseRequest: Parser<Request>;
  readonly parseResponse: Parser<Response>;
  /**
   * Longest encoded request in bytes. Default: `REQUEST_HEAD_BYTES_DEFAULT` of shared/wire. A larger
   * one is refused before it is decoded.
   */
  readonly requestBytesMax?: number;
  /**
   * Most work to decode a request, in the units of `HeadMeasure` of shared/wire. Default:
   * `REQUEST_WORK_DEFAULT`. A request that needs more is refused before it is decoded.
   */
  readonly requestWorkMax?: number;
  /** Schema of the request. Absent if the request is encoded as an array (`positional.ts`). */
  readonly requestSchema?: v.GenericSchema;
  /** Returns a msgpack value that the parser of the other end accepts. */
  readonly encodeRequest: Encoder<Request>;
  readonly encodeResponse: Encoder<Response>;
}

/**
 * A method with an opening request and messages: `Up` from the caller, `Down` from the server. The head of the
 * request, and that of each `Up`, has the default limits of a request (`REQUEST_HEAD_BYTES_DEFAULT` of shared/wire).
 */
export interface StreamMethod<Open, Up, Down> {
  readonly kind: "stream";
  readonly name: string;
  /** Other callers are refused with WRONG_ROLE. */
  readonly callers: readonly Role[];
  readonly parseOpen: Parser<Open>;
  readonly parseUp: Parser<Up>;
  readonly parseDown: Parser<Down>;
  readonly openSchema: v.GenericSchema;
  readonly upSchema: v.GenericSchema;
}

/** Returns a parser for a schema. It ignores unknown keys, so that newer peers may add fields. */
export function parser<Output>(
  what: string,
  schema: v.GenericSchema<unknown, Output>,
): Parser<Output> {
  return (value) => {
    const result = v.safeParse(schema, value, { abortEarly: true });
    if (result.success) return result.output;
    const issue = result.issues[0];
    const path = v.getDotPath(issue) ?? "";
    throw new AshlarError("PROTOCOL_ERROR", `Cannot read ${what}.${path}: ${issue.message}`);
  };
}

/** Defines a call by the schemas of its request and response. */
export function defineCall<Request, Response>(
  name: string,
  callers: readonly Role[],
  request: v.GenericSchema<unknown, Request>,
  response: v.GenericSchema<unknown, Response>,
  encodeResponse: Encoder<Response> = identity,
): CallMethod<Request, Response> {
  return {
    kind: "call",
    name,
    callers,
    parseRequest: parser(`${name} request`, request),
    parseResponse: parser(`${name} response`, response),
    requestSchema: request,
    encodeRequest: identity,
    encodeResponse,
  };
}

/** Encodes a message as the handlers see it. */
function identity<T>(message: T): unknown {
  return message;
}

/** Defines a stream by the schemas of its messages. */
export function defineStream<Open, Up, Down>(
  name: string,
  callers: readonly Role[],
  schemas: {
    readonly open: v.GenericSchema<unknown, Open>;
    readonly up: v.GenericSchema<unknown, Up>;
    readonly down: v.GenericSchema<unknown, Down>;
  },
): StreamMethod<Open, Up, Down> {
  return {
    kind: "stream",
    name,
    callers,
    parseOpen: parser(`${name} open`, schemas.open),
    parseUp: parser(`${name} message`, schemas.up),
    parseDown: parser(`${name} message`, schemas.down),
    openSchema: schemas.open,
    upSchema: schemas.up,
  };
}
