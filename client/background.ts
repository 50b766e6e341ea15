/** Work whose outcome nobody waits for (reports of rot); the client's end does. */
export class Background {
  readonly #running = new Set<Promise<void>>();

  /** `task` bounds its own time; how it fails is its own matter. */
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

  async settled(): Promise<void> {
    await Promise.all(this.#running);
  }
}
