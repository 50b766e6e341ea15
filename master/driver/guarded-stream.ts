import { AshlarError } from "../../shared/base/errors.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Received, Stream } from "../../shared/wire/rpc.ts";

/** A stream of a transfer. It is cancelled if a message makes no progress for the stall timeout. */
export class GuardedStream<Out, In> {
  readonly #stream: Stream<Out, In>;
  readonly #options: { readonly clock: Clock; readonly stallMs: number };

  constructor(
    stream: Stream<Out, In>,
    options: { readonly clock: Clock; readonly stallMs: number },
  ) {
    this.#stream = stream;
    this.#options = options;
  }

  /** Sends a message. @throws {AshlarError} DEADLINE_EXCEEDED after the stall timeout */
  send(head: Out, body?: Uint8Array): Promise<void> {
    return this.#guard(this.#stream.send(head, body));
  }

  /** Returns the next message; null at the end. @throws {AshlarError} DEADLINE_EXCEEDED */
  receive(): Promise<Received<In> | null> {
    return this.#guard(this.#stream.receive());
  }

  end(): void {
    this.#stream.end();
  }

  async #guard<T>(work: Promise<T>): Promise<T> {
    const { clock, stallMs } = this.#options;
    const timer = clock.after(stallMs, () => {
      this.#stream.cancel(
        new AshlarError(
          "DEADLINE_EXCEEDED",
          `Cannot continue the transfer: no progress for ${stallMs} ms`,
        ),
      );
    });
    try {
      return await work;
    } finally {
      timer.cancel();
    }
  }
}
