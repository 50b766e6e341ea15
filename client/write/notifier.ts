/**
 * Wakes those who wait for something to change. One who is woken looks again whether it is what
 * was waited for.
 */
export class Notifier {
  #waiters: Array<() => void> = [];

  /** Resolves at the next `ring`. */
  wait(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiters.push(resolve);
    });
  }

  notify(): void {
    if (this.#waiters.length === 0) return;
    const waiting = this.#waiters;
    this.#waiters = [];
    for (const wake of waiting) wake();
  }
}
