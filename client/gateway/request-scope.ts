import type { Context } from "koa";
import { AshlarError } from "../../shared/base/errors.ts";
import type { Log } from "../../shared/ports/log.ts";

/**
 * The lifetime of one request. The signal aborts when the client disconnects, or when no byte is
 * transferred within the stall timeout. Deferred functions run when the response has ended, for any
 * reason.
 */
export class RequestScope {
  readonly #controller = new AbortController();
  readonly #closes: Array<() => void | Promise<void>> = [];
  readonly #log: Log;
  #hasEnded = false;

  constructor(context: Context, options: { readonly stallTimeoutMs: number; readonly log: Log }) {
    const { res } = context;
    const { stallTimeoutMs } = options;
    this.#log = options.log;
    context.req.socket.setTimeout(stallTimeoutMs);
    res.on("timeout", () => {
      this.#controller.abort(stalled(context, stallTimeoutMs));
      // After its head is sent, a response can only be cut off.
      if (res.headersSent) res.destroy();
    });
    res.once("close", () => {
      if (!res.writableFinished) this.#controller.abort(clientGone(context));
      this.#end();
    });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Calls `close` when the response has ended, at once if it has ended already. */
  defer(close: () => void | Promise<void>): void {
    if (this.#hasEnded) this.#run(close);
    else this.#closes.push(close);
  }

  #end(): void {
    this.#hasEnded = true;
    for (const close of this.#closes.reverse()) this.#run(close);
  }

  #run(close: () => void | Promise<void>): void {
    Promise.resolve()
      .then(close)
      .catch((error: unknown) => this.#log.warn("Closing after a request failed", { error }));
  }
}

function clientGone({ method, path }: Context): AshlarError {
  return new AshlarError("CANCELLED", `Cannot ${method} ${path}: the client disconnected`);
}

function stalled({ method, path }: Context, timeoutMs: number): AshlarError {
  return new AshlarError(
    "DEADLINE_EXCEEDED",
    `Cannot ${method} ${path}: no byte was transferred within ${timeoutMs} ms`,
  );
}
