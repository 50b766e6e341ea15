import type { Reply } from "./rpc.ts";

class ReplyWithBody<Response> implements Reply<Response> {
  readonly head: Response;
  readonly body: Uint8Array;
  readonly onSent: () => void;

  constructor(head: Response, body: Uint8Array, onSent: () => void) {
    this.head = head;
    this.body = body;
    this.onSent = onSent;
  }
}

/**
 * Returns a response with a body of raw bytes. `onSent` is called once, when `body` may be reused:
 * the system has accepted it, or it will not be sent.
 */
export function withBody<Response>(
  head: Response,
  body: Uint8Array,
  onSent: () => void = () => {},
): Reply<Response> {
  return new ReplyWithBody(head, body, onSent);
}

/** Returns whether `value` is a result of `withBody` and not a plain response. */
export function isReply<Response>(value: Response | Reply<Response>): value is Reply<Response> {
  return value instanceof ReplyWithBody;
}
