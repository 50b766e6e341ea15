import type { Body } from "./frame-reader.ts";
import type { Received } from "./rpc.ts";

/** A received request or response. */
export class ReceivedFrame<Head> implements Received<Head> {
  readonly head: Head;
  readonly #body: Body;

  constructor(head: Head, body: Body) {
    this.head = head;
    this.#body = body;
  }

  get body(): Uint8Array {
    return this.#body.bytes;
  }

  release(): void {
    this.#body.release();
  }
}
