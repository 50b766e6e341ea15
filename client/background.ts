/**
 * Tasks whose result no caller waits for, such as reports of corrupt replicas. The client waits for
 * all of them before it closes.
 */
export class Background {
  readonly #running = new Set<Promise<void>>();

  /** Starts `task`. Ignores its errors. The task must limit its own duration. */
  run(task: () => Promise<unknown>): void {
    const running = task()
      .then(
        () => {},
        () => {},
      )
      .then(() => {
        this.#running.delete(running);
      });
    this.#running.add(running);
  }

  /** Resolves when all tasks started so far have ended. */
  async settled(): Promise<void> {
    await Promise.all(this.#running);
  }
}
