import { FRAME_BYTES_MAX, SMALL_CHUNKS_MAX } from "../../shared/protocol/chunk-api.ts";
import type { Placement } from "./allocate-intents.ts";
import type { GatheredChunk } from "./gathered-chunk.ts";
import { type GroupDeps, writeGroup } from "./group-write.ts";
import { IntentPool } from "./intent-pool.ts";

/** Calls in progress while less than a full group waits: further chunks gather. */
const CALLS_MAX = 2;
/** Calls in progress at most. */
const FULL_CALLS_MAX = 8;

/** The small chunks with one placement, which wait for their call. */
export class GroupQueue {
  readonly #deps: GroupDeps;
  readonly #intents: IntentPool;
  /** Chunks that wait, in the order of their arrival. */
  #waiting: GatheredChunk[] = [];
  #callCount = 0;
  #isGathering = false;

  constructor(deps: GroupDeps, placement: Placement) {
    this.#deps = deps;
    this.#intents = new IntentPool({ ...deps, clock: deps.env.clock }, placement);
  }

  add(chunk: GatheredChunk): void {
    this.#waiting.push(chunk);
    if (this.#isGathering) return;
    this.#isGathering = true;
    // At the end of the turn: the chunks of writers that are ready now travel together.
    Promise.resolve().then(this.#startCalls, () => {});
  }

  readonly #startCalls = (): void => {
    this.#isGathering = false;
    while (this.#callCount < FULL_CALLS_MAX) {
      const group = this.#nextGroup();
      if (group.length === 0) return;
      this.#callCount += 1;
      this.#waiting = this.#waiting.slice(group.length);
      this.#deps.background.run(() => this.#write(group));
    }
  };

  async #write(group: readonly GatheredChunk[]): Promise<void> {
    await writeGroup(this.#deps, this.#intents, group);
    this.#callCount -= 1;
    this.#startCalls();
  }

  /** Returns the first chunks that wait, as many as one call may have. None if they have to wait. */
  #nextGroup(): readonly GatheredChunk[] {
    this.#waiting = this.#waiting.filter((chunk) => !chunk.isOver);
    let count = 0;
    let lengthBytes = 0;
    for (const chunk of this.#waiting) {
      if (count === SMALL_CHUNKS_MAX || lengthBytes + chunk.lengthBytes > FRAME_BYTES_MAX) break;
      count += 1;
      lengthBytes += chunk.lengthBytes;
    }
    const isFull = count < this.#waiting.length;
    return isFull || this.#callCount < CALLS_MAX ? this.#waiting.slice(0, count) : [];
  }
}
