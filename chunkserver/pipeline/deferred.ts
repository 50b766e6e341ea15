/** A promise that is settled from outside. Its rejection needs no listener. */
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
    this.promise.catch(() => {}); // Whoever awaits it gets the error; nobody may.
  }

  resolve(value: T): void {
    this.#settle?.resolve(value);
  }

  reject(error: Error): void {
    this.#settle?.reject(error);
  }
}
