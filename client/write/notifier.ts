/**
 * Wakes those who wait for something to change. One who is woken looks again whether it is what
 * was waited for.
 */
export class Bell {
  #waiting: Array<() => void> = [];

  /** Resolves at the next `ring`. */
  wait(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  ring(): void {
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }
}
