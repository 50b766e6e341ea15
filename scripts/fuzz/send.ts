import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { CallMethod, StreamMethod } from "../../shared/protocol/method.ts";
import type { Connection } from "../../shared/wire/rpc.ts";
import type { FuzzedCall, FuzzedRequest, FuzzedStream } from "./requests.ts";

/** Deadline of a call. A request for a state that does not exist yet waits as long. */
const CALL_TIMEOUT_MS = 2_000;
/** Messages that are received from a stream, and time for it, before it is cancelled. */
const MESSAGES_MAX = 4;
const STREAM_TIMEOUT_MS = 300;

/** How a request ended: the code of its error, or "ok". */
export interface Answer {
  readonly code: string;
  /** Reason why the answer is wrong. Null if it is a result or a typed error. */
  readonly fault: string | null;
}

/** Sends a request without checking it, and judges the answer. */
export async function sendRequest(connection: Connection, request: FuzzedRequest): Promise<Answer> {
  try {
    if (request.kind === "call") await sendCall(connection, request);
    else await sendStream(connection, request);
    return { code: "ok", fault: null };
  } catch (error) {
    if (!isAshlarError(error)) throw error;
    return { code: error.code, fault: faultOf(error) };
  }
}

/** Returns why `error` is not an acceptable answer, or null. */
function faultOf(error: AshlarError): string | null {
  if (error.code === "INTERNAL") return error.message;
  return error.details["isUnreadable"] === true ? error.message : null;
}

async function sendCall(connection: Connection, { method, request }: FuzzedCall): Promise<void> {
  const raw: CallMethod<unknown, unknown> = {
    ...method,
    encodeRequest: (value) => value,
    parseResponse: readable(method.parseResponse),
  };
  const reply = await connection.call(raw, request, { timeoutMs: CALL_TIMEOUT_MS });
  reply.release();
}

async function sendStream(connection: Connection, fuzzed: FuzzedStream): Promise<void> {
  const { method, open, messages } = fuzzed;
  const raw: StreamMethod<unknown, unknown, unknown> = {
    ...method,
    parseDown: readable(method.parseDown),
  };
  const stream = connection.open(raw, open, { timeoutMs: CALL_TIMEOUT_MS });
  const timer = setTimeout(() => stream.cancel(cancelled()), STREAM_TIMEOUT_MS);
  try {
    const sent = Promise.all(messages.map(({ head, body }) => stream.send(head, body)));
    sent.then(() => stream.end()).catch(() => {}); // `receive` fails with the same error.
    for (let count = 0; count < MESSAGES_MAX; count += 1) {
      const message = await stream.receive();
      if (message === null) break;
      message.release();
    }
  } finally {
    clearTimeout(timer);
    stream.cancel(cancelled());
  }
}

/** Marks an answer that the parser of its own method refuses. */
function readable(parse: (value: unknown) => unknown): (value: unknown) => unknown {
  return (value) => {
    try {
      return parse(value);
    } catch (error) {
      const { message } = error as Error;
      throw new AshlarError("PROTOCOL_ERROR", message, { details: { isUnreadable: true } });
    }
  };
}

const cancelled = (): AshlarError => new AshlarError("CANCELLED", "The fuzzer has seen enough");
