import * as v from "valibot";
import { AshlarError } from "../base/errors.ts";

/** Checks a value that came over the wire. @throws {AshlarError} PROTOCOL_ERROR naming the field. */
export type Parser<T> = (value: unknown) => T;

/** Makes the value that goes over the wire. */
export type Encoder<T> = (message: T) => unknown;

/** One request, one response. */
export interface CallMethod<Request, Response> {
  readonly kind: "call";
  /** "service.verb", unique. Never reused for another meaning. */
  readonly name: string;
  readonly parseRequest: Parser<Request>;
  readonly parseResponse: Parser<Response>;
  /** What travels: a msgpack value that the parser of the other end takes. */
  readonly encodeRequest: Encoder<Request>;
  readonly encodeResponse: Encoder<Response>;
}

/** An opening request, then messages both ways: `Up` from the caller, `Down` from the server. */
export interface StreamMethod<Open, Up, Down> {
  readonly kind: "stream";
  readonly name: string;
  readonly parseOpen: Parser<Open>;
  readonly parseUp: Parser<Up>;
  readonly parseDown: Parser<Down>;
}

/** A parser from a schema: unknown keys are ignored, so that a newer peer may add fields. */
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

export function defineCall<Request, Response>(
  name: string,
  request: v.GenericSchema<unknown, Request>,
  response: v.GenericSchema<unknown, Response>,
  encodeResponse: Encoder<Response> = asItIs,
): CallMethod<Request, Response> {
  return {
    kind: "call",
    name,
    parseRequest: parser(`${name} request`, request),
    parseResponse: parser(`${name} response`, response),
    encodeRequest: asItIs,
    encodeResponse,
  };
}

/** A message that is sent as the handlers see it. */
function asItIs<T>(message: T): unknown {
  return message;
}

export function defineStream<Open, Up, Down>(
  name: string,
  schemas: {
    readonly open: v.GenericSchema<unknown, Open>;
    readonly up: v.GenericSchema<unknown, Up>;
    readonly down: v.GenericSchema<unknown, Down>;
  },
): StreamMethod<Open, Up, Down> {
  return {
    kind: "stream",
    name,
    parseOpen: parser(`${name} open`, schemas.open),
    parseUp: parser(`${name} message`, schemas.up),
    parseDown: parser(`${name} message`, schemas.down),
  };
}
