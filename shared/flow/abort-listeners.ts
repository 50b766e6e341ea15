/** The listeners of a signal that has some. */
const listenersOf = new WeakMap<AbortSignal, AbortListeners>();

/**
 * Calls `listener` when `signal` aborts, and never if it has aborted already. Returns a function that removes
 * the listener; it may be called later, too.
 *
 * Every call of the library can have the same signal. Node searches all listeners of a signal to add or
 * remove one, which is quadratic in the number of calls, and reports more than ten of them as a leak. So a signal
 * has at most one listener of this module.
 */
export function listenToAbort(signal: AbortSignal, listener: () => void): () => void {
  if (signal.aborted) return () => {};
  let listeners = listenersOf.get(signal);
  if (listeners === undefined) {
    listeners = new AbortListeners(signal);
    listenersOf.set(signal, listeners);
  }
  return listeners.add(listener);
}

/** Listeners with one place in the list of their signal. */
class AbortListeners {
  readonly #signal: AbortSignal;
  /** By an id of their own: a function can be added twice. */
  readonly #listeners = new Map<number, () => void>();
  #lastId = 0;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  add(listener: () => void): () => void {
    this.#lastId += 1;
    const id = this.#lastId;
    this.#listeners.set(id, listener);
    return () => {
      if (!this.#listeners.delete(id) || this.#listeners.size > 0 || this.#signal.aborted) return;
      // A listener of a derived signal (AbortSignal.any) keeps it in memory.
      this.#signal.removeEventListener("abort", this.#onAbort);
      listenersOf.delete(this.#signal);
    };
  }

  /** Calls the listeners in their order. One that another removes is not called. */
  readonly #onAbort = (): void => {
    listenersOf.delete(this.#signal);
    const errors: unknown[] = [];
    for (const id of [...this.#listeners.keys()]) {
      const listener = this.#listeners.get(id);
      if (listener === undefined) continue;
      this.#listeners.delete(id);
      try {
        listener();
      } catch (error) {
        errors.push(error); // The others are called, too.
      }
    }
    // Node reports an error of an event listener as uncaught.
    if (errors.length > 0) throw errors[0];
  };
}
