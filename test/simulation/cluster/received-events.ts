import type { WatchCursor } from "../../../client/options.ts";
import type { WatchEvent } from "../../../client/results.ts";
import { Violation } from "./violation.ts";

/** Returns whether `left` is a lower position in the change feed (docs/decisions/0008-feed.md). */
export function isBefore(left: WatchCursor, right: WatchCursor): boolean {
  return left.index < right.index || (left.index === right.index && left.sequence < right.sequence);
}

/**
 * The events that all watches have received. Invariant: there is one event at a position,
 * regardless of the watch and of the time at which it is received.
 */
export class ReceivedEvents {
  readonly #texts = new Map<string, string>();
  readonly #positions: WatchCursor[] = [];

  /** @throws {Violation} if a watch has received a different event at this position */
  add(event: WatchEvent): void {
    const { index, sequence } = event;
    const key = `${index}:${sequence}`;
    const text = textOf(event);
    const known = this.#texts.get(key);
    if (known === undefined) {
      this.#texts.set(key, text);
      this.#positions.push({ index, sequence });
    } else if (known !== text) {
      throw new Violation(`Two different events at position ${key}: ${known} and ${text}`, [
        `${index}`,
      ]);
    }
  }

  /** All positions with an event, in the order in which they were first received. */
  get positions(): readonly WatchCursor[] {
    return this.#positions;
  }
}

/** Formats the fields of an event that must be equal in every watch. */
function textOf({ kind, inode, path, timeMs }: WatchEvent): string {
  return `${kind} ${inode} ${path ?? "no path"} ${timeMs}`;
}
