import { assert } from "../base/assert.ts";

/**
 * What must be closed, in reverse order of opening. Like the AsyncDisposableStack of ES2026, which
 * Node 20 lacks.
 */
export class Closers implements AsyncDisposable {
  #closes: Array<() => Promise<void>> = [];
  #isClosed = false;

  /** `resource` will be disposed. */
  use<Resource extends AsyncDisposable | Disposable>(resource: Resource): Resource {
    this.defer(() =>
      Symbol.asyncDispose in resource
        ? Promise.resolve(resource[Symbol.asyncDispose]())
        : resource[Symbol.dispose](),
    );
    return resource;
  }

  /** `close` will be called. */
  defer(close: () => void | Promise<void>): void {
    assert(!this.#isClosed, "nothing is opened after the close");
    this.#closes.push(async () => close());
  }

  /** Hands everything over to new Closers; these have nothing to close any more. */
  move(): Closers {
    const owned = new Closers();
    owned.#closes = this.#closes;
    this.#closes = [];
    this.#isClosed = true;
    return owned;
  }

  /** Closes all, the last opened first, also when some fail; then throws the first error. */
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
