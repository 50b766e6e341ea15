import type { FileSystem, WatchEvent } from "../../../client/file-system.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import { Violation } from "./violation.ts";
import type { NameOperation } from "./workload.ts";
import type { World } from "./world.ts";

const WATCH_TIMEOUT_MS = 10_000;
const AGAIN_MS = 500;

interface Place {
  readonly index: number;
  readonly sequence: number;
}

/**
 * Watches everything from the beginning to the end, over all that befalls the masters (G15): events
 * come in order, each once, and of everything that a client was told was done there is one.
 */
export class FeedWatch {
  readonly #world: World;
  /** By the index of the entry: paths that its events name. */
  readonly #pathsByIndex = new Map<number, string[]>();
  /** Indexes whose events had expired before they were read: first to last. */
  readonly #gaps: Array<{ readonly from: number; readonly to: number }> = [];
  #last: Place = { index: 0, sequence: -1 };
  /** All events before it were given. */
  #next: Place = { index: 0, sequence: 0 };
  #isOver = false;
  eventCount = 0;

  constructor(world: World) {
    this.#world = world;
  }

  /** Until `stop`. Everything at and after `index` counts. */
  async run(fs: FileSystem, index: number): Promise<void> {
    this.#next = { index, sequence: 0 };
    while (!this.#isOver) {
      try {
        await this.#watch(fs);
      } catch (error) {
        this.#onEnd(error);
      }
      await this.#world.clock.sleep(AGAIN_MS);
    }
  }

  stop(): void {
    this.#isOver = true;
  }

  /** Whether the events of the entry at `index` were given, if there are any. */
  isBeyond(index: number): boolean {
    return this.#next.index > index || this.#last.index >= index;
  }

  /** @throws {Violation} if there is no event of something that was done */
  check(history: readonly NameOperation[]): void {
    for (const { key, input, output } of history) {
      if (input.kind === "read" || output?.kind !== "done") continue;
      const { version } = output;
      if (this.#gaps.some(({ from, to }) => from <= version && version <= to)) continue;
      const paths = this.#pathsByIndex.get(version) ?? [];
      if (paths.some((path) => path.startsWith(`${key}/`))) continue;
      const text = `${key} ${JSON.stringify(input)} at index ${version}`;
      throw new Violation(`The feed has no event of ${text}`, [`${version}`]);
    }
  }

  async #watch(fs: FileSystem): Promise<void> {
    const events = fs.watch("/", {
      from: this.#next,
      timeoutMs: WATCH_TIMEOUT_MS,
      onProgress: (next) => {
        this.#next = next;
      },
    });
    for await (const event of events) this.#onEvent(event);
  }

  #onEvent(event: WatchEvent): void {
    const { index, sequence, next } = event;
    const isLater =
      index > this.#last.index || (index === this.#last.index && sequence > this.#last.sequence);
    if (!isLater) {
      const text = `${index}/${sequence} after ${this.#last.index}/${this.#last.sequence}`;
      throw new Violation(`The feed gives event ${text}`);
    }
    this.#last = { index, sequence };
    this.#next = next;
    this.eventCount += 1;
    this.#world.trace.mix(index);
    const paths = this.#pathsByIndex.get(index) ?? [];
    if (event.path !== null) paths.push(new TextDecoder().decode(event.path));
    this.#pathsByIndex.set(index, paths);
  }

  #onEnd(error: unknown): void {
    if (this.#isOver) return;
    if (!isAshlarError(error)) throw error;
    this.#world.trace.note("world", `the watch ends: ${error.code} ${error.message}`);
    if (error.code !== "INDEX_EXPIRED") {
      if (error.retry === "never" && error.code !== "DEADLINE_EXCEEDED") throw error;
      return;
    }
    // Calendars jump by an hour here, and with them what the retention has forgotten.
    const oldest = Number(error.details["oldestIndex"]);
    if (!(oldest > this.#next.index))
      throw new Violation(`The feed lacks what it has: ${error.message}`);
    this.#gaps.push({ from: this.#next.index, to: oldest - 1 });
    this.#next = { index: oldest, sequence: 0 };
  }
}
