import type { Context } from "koa";
import { AshlarError } from "../../shared/base/errors.ts";
import type { Log } from "../../shared/ports/log.ts";

/**
 * The life of one request. Its signal aborts when the client is gone, or when no byte moved for too
 * long; what was opened for it is closed when the response is over, however it ended.
 */
export class RequestScope {
  readonly #controller = new AbortController();
  readonly #closes: Array<() => void | Promise<void>> = [];
  readonly #log: Log;

  constructor(context: Context, options: { readonly stallTimeoutMs: number; readonly log: Log }) {
    const { res } = context;
    const { stallTimeoutMs } = options;
    this.#log = options.log;
    context.req.socket.setTimeout(stallTimeoutMs);
    res.on("timeout", () => {
      this.#controller.abort(stalled(context, stallTimeoutMs));
      // A response that has begun can only be cut.
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

  /** `close` is called once the response is over. */
  defer(close: () => void | Promise<void>): void {
    this.#closes.push(close);
  }

  #end(): void {
    for (const close of this.#closes.reverse()) {
      Promise.resolve()
        .then(close)
        .catch((error: unknown) => this.#log.warn("Closing after a request failed", { error }));
    }
  }
}

/** Bodies under way, both directions: each holds buffers, so their number is bounded. */
export class TransferSlots {
  readonly #max: number;
  #used = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get used(): number {
    return this.#used;
  }

  /** Taken until the scope ends. @throws {AshlarError} OVERLOADED */
  take(scope: RequestScope): void {
    if (this.#used >= this.#max) {
      throw new AshlarError(
        "OVERLOADED",
        `Cannot begin another transfer: ${this.#max} are under way`,
        { hint: "Try again in a moment; transfersMax bounds them" },
      );
    }
    this.#used += 1;
    scope.defer(() => {
      this.#used -= 1;
    });
  }
}

function clientGone({ method, path }: Context): AshlarError {
  return new AshlarError("CANCELLED", `Cannot ${method} ${path}: the client has gone`);
}

function stalled({ method, path }: Context, timeoutMs: number): AshlarError {
  return new AshlarError(
    "DEADLINE_EXCEEDED",
    `Cannot ${method} ${path}: no byte moved in ${timeoutMs} ms`,
  );
}
