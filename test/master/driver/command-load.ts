import type { TestGroup } from "./test-group.ts";

/** Proposes commands to the current leader, one after the other, until `end`. */
export class CommandLoad {
  readonly #group: TestGroup;
  readonly #done: Promise<void>;
  #isOver = false;
  #count = 0;

  constructor(group: TestGroup) {
    this.#group = group;
    this.#done = this.#run();
  }

  /** Resolves when the last command is settled. */
  async end(): Promise<void> {
    this.#isOver = true;
    await this.#group.clock.advanceFor(this.#done, "the load ends");
  }

  async #run(): Promise<void> {
    while (!this.#isOver) {
      const [leader] = this.#group.leaders();
      this.#count += 1;
      // A command may fail. The group records the acknowledged ones.
      if (leader !== undefined) {
        await this.#group.propose(leader, `load ${this.#count}`).catch(() => {});
      }
      await this.#group.clock.sleep(5);
    }
  }
}
