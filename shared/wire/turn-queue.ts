import type { Role } from "../protocol/roles.ts";
import { LinkedFifo, type Place } from "./linked-fifo.ts";

/** The parts of the calls of one connection that wait for their turn, in order. */
export class Lane {
  readonly role: Role;
  readonly parts = new LinkedFifo<() => void>();
  /** The place among the lanes with waiting parts. Null if none waits. */
  place: Place<Lane> | null = null;

  constructor(role: Role) {
    this.role = role;
  }
}

/** The place of a part that waits for its turn. */
export interface PartPlace {
  readonly lane: Lane;
  readonly place: Place<() => void>;
}

/**
 * The parts of work that wait for their turn. The roles take turns, then the connections of a role, and a
 * connection has its parts in order. So a connection with thousands of calls delays another one by a part,
 * and no number of clients delays the heartbeats of the chunkservers by more than their number.
 */
export class TurnQueue {
  /** The lanes with waiting parts, by role. */
  readonly #lanes: Readonly<Record<Role, LinkedFifo<Lane>>> = {
    client: new LinkedFifo(),
    chunkserver: new LinkedFifo(),
    master: new LinkedFifo(),
  };
  readonly #roles = Object.values(this.#lanes);
  /** Position in `#roles` of the role that has the next turn. */
  #next = 0;

  get isEmpty(): boolean {
    return this.#roles.every((lanes) => lanes.isEmpty);
  }

  /** Adds a part at the end of its lane, and returns its place for `remove`. */
  push(lane: Lane, begin: () => void): PartPlace {
    const place = lane.parts.push(begin);
    lane.place ??= this.#lanes[lane.role].push(lane);
    return { lane, place };
  }

  /** Removes the part that has the next turn, and returns it. */
  shift(): (() => void) | undefined {
    for (let step = 0; step < this.#roles.length; step += 1) {
      const position = (this.#next + step) % this.#roles.length;
      const lanes = this.#roles[position];
      const lane = lanes?.shift();
      if (lanes === undefined || lane === undefined) continue;
      this.#next = position + 1;
      const begin = lane.parts.shift();
      lane.place = lane.parts.isEmpty ? null : lanes.push(lane);
      return begin;
    }
    return undefined;
  }

  /** Removes a part that is in this queue. */
  remove({ lane, place }: PartPlace): void {
    lane.parts.remove(place);
    if (!lane.parts.isEmpty || lane.place === null) return;
    this.#lanes[lane.role].remove(lane.place);
    lane.place = null;
  }
}
