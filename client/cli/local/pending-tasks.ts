/** Tasks that run at the same time. */
export class PendingTasks {
  readonly #running = new Set<Promise<unknown>>();

  /** Runs a task. @returns its promise */
  async run(task: () => Promise<void>): Promise<void> {
    const running = task();
    this.#running.add(running);
    try {
      await running;
    } finally {
      this.#running.delete(running);
    }
  }

  /** Resolves when no task runs. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
  }
}
