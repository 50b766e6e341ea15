/**
 * A promise with its `resolve` and `reject` functions. Like Promise.withResolvers of ES2024, which
 * Node 20 lacks. The first call of either settles the promise, later calls have no effect.
 */
export class Deferred<T> {
  readonly promise: Promise<T>;
  #settle: {
    readonly resolve: (value: T) => void;
    readonly reject: (error: Error) => void;
  } | null = null;

  constructor() {
    this.promise = new Promise<T>((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    // Prevents an unhandled rejection when no caller awaits the promise.
    this.promise.catch(() => {});
  }

  resolve(value: T): void {
    this.#settle?.resolve(value);
  }

  reject(error: Error): void {
    this.#settle?.reject(error);
  }
}
