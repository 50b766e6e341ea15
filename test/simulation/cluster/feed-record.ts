import type { FeedEvent } from "../../../shared/protocol/feed-api.ts";
import { Violation } from "./violation.ts";

/** A place in the feed: see docs/decisions/0008-feed.md. */
export interface Place {
  readonly index: number;
  readonly sequence: number;
}

export function isBefore(left: Place, right: Place): boolean {
  return left.index < right.index || (left.index === right.index && left.sequence < right.sequence);
}

const textDecoder = new TextDecoder();

/** What all watches together were given: one event for one place, whoever asks, and when. */
export class FeedRecord {
  readonly #texts = new Map<string, string>();
  readonly #places: Place[] = [];

  /** @throws {Violation} if somebody was given another event for this place */
  note(event: FeedEvent): void {
    const { index, sequence } = event;
    const key = `${index}:${sequence}`;
    const text = textOf(event);
    const known = this.#texts.get(key);
    if (known === undefined) {
      this.#texts.set(key, text);
      this.#places.push({ index, sequence });
    } else if (known !== text) {
      throw new Violation(`The feed gives ${text} at ${key}, and gave ${known}`, [`${index}`]);
    }
  }

  /** All places with an event, in no order. */
  get places(): readonly Place[] {
    return this.#places;
  }
}

function textOf({ kind, inode, path, timeMs }: FeedEvent): string {
  return `${kind} ${inode} ${path === null ? "far down" : textDecoder.decode(path)} ${timeMs}`;
}
