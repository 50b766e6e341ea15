/**
 * Wakes waiters when shared state may have changed. A waiter must check its condition again after
 * each wake-up.
 */
export class Notifier {
  #waiters: Array<() => void> = [];

  /** Resolves at the next `notify`. */
  wait(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiters.push(resolve);
    });
  }

  /** Wakes all current waiters. */
  notify(): void {
    if (this.#waiters.length === 0) return;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }
}
