/**
 * Runs a sync for many callers, one run at a time: group commit.
 *
 * Invariant: the promise of a caller is settled by a run that started after the call. So the run
 * covers everything that the caller did before the call.
 *
 * No run follows a failed one: every later call, and every call that waits, fails with the same
 * error. The kernel drops the pages of a failed sync and reports the failure once, so a repeated sync
 * would report success for bytes that are lost (fsyncgate).
 */
export class CoalescedSync {
  readonly #task: () => Promise<void>;
  /** The first failed run. */
  #failed: Promise<void> | null = null;
  #running: Promise<void> | null = null;
  #next: Promise<void> | null = null;

  constructor(task: () => Promise<void>) {
    this.#task = task;
  }

  /** Resolves after a complete run of the sync that started after this call. */
  run(): Promise<void> {
    if (this.#failed !== null) return this.#failed;
    if (this.#next !== null) return this.#next;
    if (this.#running === null) return this.#start();
    // A failed run fails the callers that wait for the next one too.
    this.#next = this.#running.then(() => this.#start());
    return this.#next;
  }

  #start(): Promise<void> {
    this.#next = null;
    const running = this.#task().then(
      () => {
        if (this.#running === running) this.#running = null;
      },
      (error: unknown) => {
        this.#failed = running;
        throw error;
      },
    );
    this.#running = running;
    return running;
  }
}
