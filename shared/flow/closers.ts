import { assert } from "../base/assert.ts";

/**
 * A stack of open resources that closes them in reverse order. Like the AsyncDisposableStack of
 * ES2026, which Node 20 lacks.
 */
export class Closers implements AsyncDisposable {
  #closes: Array<() => Promise<void>> = [];
  #isClosed = false;

  /** Adds `resource`, which is disposed when the stack is closed. Returns `resource`. */
  use<Resource extends AsyncDisposable | Disposable>(resource: Resource): Resource {
    this.defer(() =>
      Symbol.asyncDispose in resource
        ? Promise.resolve(resource[Symbol.asyncDispose]())
        : resource[Symbol.dispose](),
    );
    return resource;
  }

  /** Adds a function that is called when the stack is closed. */
  defer(close: () => void | Promise<void>): void {
    assert(!this.#isClosed, "no resource is added after the close");
    this.#closes.push(async () => close());
  }

  /**
   * Moves all resources to a new stack, which the caller owns. This stack is then empty and closed.
   */
  move(): Closers {
    const owned = new Closers();
    owned.#closes = this.#closes;
    this.#closes = [];
    this.#isClosed = true;
    return owned;
  }

  /**
   * Closes all resources in reverse order, even if some fail. Then throws the first error, if any.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    const errors: unknown[] = [];
    for (let close = this.#closes.pop(); close !== undefined; close = this.#closes.pop()) {
      try {
        await close();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }
}
