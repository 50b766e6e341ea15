import * as v from "valibot";
import {
  AshlarError,
  ERROR_CODES,
  type ErrorCode,
  type ErrorData,
  fromErrorData,
  toErrorData,
} from "../base/errors.ts";
import { malformed } from "./positional.ts";

const errorSchema = v.object({
  code: v.string(),
  message: v.string(),
  hint: v.optional(v.string()),
  details: v.optional(v.record(v.string(), v.unknown())),
});

/** Parses an error from the wire. An error that cannot be parsed becomes INTERNAL. */
export function parseErrorData(head: unknown): ErrorData {
  const result = v.safeParse(errorSchema, head);
  if (!result.success) {
    return { code: "INTERNAL", message: "The peer reported an error that cannot be read" };
  }
  const { code, message, hint, details } = result.output;
  return {
    code: Object.hasOwn(ERROR_CODES, code) ? (code as ErrorCode) : "INTERNAL",
    message,
    ...(hint === undefined ? {} : { hint }),
    ...(details === undefined ? {} : { details }),
  };
}

/** Encodes the result of one of several items: a value as an array, an error as a map. */
export function encodeResult<T>(result: T | AshlarError, encode: (value: T) => unknown): unknown {
  return result instanceof AshlarError ? toErrorData(result) : encode(result);
}

/** Decodes a result of `encodeResult`. @throws {AshlarError} PROTOCOL_ERROR */
export function decodeResult<T>(
  value: unknown,
  what: string,
  decode: (fields: unknown) => T,
): T | AshlarError {
  if (Array.isArray(value)) return decode(value);
  if (typeof value === "object" && value !== null) return fromErrorData(parseErrorData(value));
  throw malformed(what, "expected a result or an error");
}
