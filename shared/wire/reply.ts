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
 * A response with raw bytes beside it. `onSent` is called once, when `body` may be reused: it has
 * been handed to the system, or will never be.
 */
export function withBody<Response>(
  head: Response,
  body: Uint8Array,
  onSent: () => void = () => {},
): Reply<Response> {
  return new ReplyWithBody(head, body, onSent);
}

/** Tells what `withBody` made from a plain response. */
export function isReply<Response>(value: Response | Reply<Response>): value is Reply<Response> {
  return value instanceof ReplyWithBody;
}
