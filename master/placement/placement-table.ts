import { assert } from "../../shared/base/assert.ts";
import type { ServerId } from "../../shared/base/ids.ts";
import type { ServerLocation } from "../../shared/protocol/intent.ts";

/** A server that can store new chunks, with the facts that its share of them depends on. */
export interface Candidate {
  readonly location: ServerLocation;
  /** Available space above the reserve of the server. */
  readonly availableBytes: number;
  /** Writes and copies in progress on the server. */
  readonly activeWrites: number;
  /** Names of `shared/protocol/capabilities.ts`, or others. */
  readonly capabilities: ReadonlySet<string>;
}

interface Slot {
  candidate: Candidate;
  /** Weight in the tree while no draw is running. 0: the server gets no new chunks. */
  weight: number;
}

/** Unit of the weights. Integers keep the sums of the tree exact. */
const WEIGHT_BYTES = 2 ** 20;
/** Number of active writes that halve the weight of a server. */
const HALVING_WRITES = 8;

/**
 * The servers that can get new chunks, for weighted random draws. An update and a draw take O(log n)
 * steps for n servers: the weights are in a binary indexed tree (Fenwick 1994).
 *
 * The probability of a server is proportional to its weight: its available space divided by
 * 1 + active writes / 8, so that a burst is not queued on one disk.
 */
export class PlacementTable {
  readonly #slots: Slot[] = [];
  readonly #positions = new Map<ServerId, number>();
  /** Positions of slots without a server, for the next new ones. */
  readonly #free: number[] = [];
  /** Entry i, from 1, is the sum of the weights of the slots from i - (i & -i) to i - 1. */
  readonly #tree: number[] = [0];
  /** Number of servers that can get chunks, by rack and by host. */
  readonly #racks = new Map<string, number>();
  readonly #hosts = new Map<string, number>();

  /** Adds the server, or replaces its facts. */
  update(candidate: Candidate): void {
    const { serverId } = candidate.location;
    let position = this.#positions.get(serverId);
    if (position === undefined) {
      position = this.#free.pop() ?? this.#addSlot(candidate);
      this.#positions.set(serverId, position);
    }
    const slot = this.#slots[position] as Slot;
    const weight = weightOf(candidate);
    // The facts of most heartbeats change neither the weight nor the place of the server.
    if (!hasSamePlace(slot.candidate, candidate)) this.#setWeight(position, 0);
    slot.candidate = candidate;
    if (weight !== slot.weight) this.#setWeight(position, weight);
  }

  /** Forgets the server. */
  remove(serverId: ServerId): void {
    this.suspend(serverId);
    const position = this.#positions.get(serverId);
    if (position === undefined) return;
    this.#positions.delete(serverId);
    this.#free.push(position);
  }

  /** Gives the server no new chunks until its next update. */
  suspend(serverId: ServerId): void {
    const position = this.#positions.get(serverId);
    if (position !== undefined) this.#setWeight(position, 0);
  }

  /** Returns whether a server outside `racks` can get chunks. */
  hasOtherRack(racks: ReadonlySet<string>): boolean {
    return hasOtherKey(this.#racks, racks);
  }

  /** Returns whether a server outside `hosts` can get chunks. */
  hasOtherHost(hosts: ReadonlySet<string>): boolean {
    return hasOtherKey(this.#hosts, hosts);
  }

  /**
   * Yields the servers in random order: each is drawn from those that are left, with a probability
   * proportional to its weight. This is the distribution of weighted rendezvous hashing with a random
   * key (Efraimidis and Spirakis 2006). The table must not change before the iteration ends.
   *
   * @param fraction returns a random number in [0, 1)
   */
  *draw(fraction: () => number): Generator<Candidate, void, void> {
    const drawn: number[] = [];
    try {
      for (;;) {
        const total = this.#sumBefore(this.#slots.length);
        if (total === 0) return;
        const position = this.#positionAt(Math.min(total - 1, Math.floor(fraction() * total)));
        const { candidate, weight } = this.#slots[position] as Slot;
        drawn.push(position);
        this.#add(position, -weight);
        yield candidate;
      }
    } finally {
      for (const position of drawn) this.#add(position, this.#slots[position]?.weight ?? 0);
    }
  }

  /** Adds a slot without weight. @returns its position */
  #addSlot(candidate: Candidate): number {
    const position = this.#slots.length;
    this.#slots.push({ candidate, weight: 0 });
    // The new entry covers slots that are in the tree already.
    const end = position + 1;
    this.#tree.push(this.#sumBefore(position) - this.#sumBefore(end - (end & -end)));
    return position;
  }

  /** Sets the weight of a slot, and counts its server in its rack and host if the weight is above 0. */
  #setWeight(position: number, weight: number): void {
    const slot = this.#slots[position] as Slot;
    const { rack, host } = slot.candidate.location;
    const change = Number(weight > 0) - Number(slot.weight > 0);
    if (change !== 0) {
      count(this.#racks, rack, change);
      count(this.#hosts, host, change);
    }
    this.#add(position, weight - slot.weight);
    slot.weight = weight;
  }

  #add(position: number, weight: number): void {
    for (let entry = position + 1; entry < this.#tree.length; entry += entry & -entry) {
      this.#tree[entry] = (this.#tree[entry] ?? 0) + weight;
    }
  }

  /** Returns the sum of the weights of the slots before `position`. */
  #sumBefore(position: number): number {
    let sum = 0;
    for (let entry = position; entry > 0; entry -= entry & -entry) sum += this.#tree[entry] ?? 0;
    return sum;
  }

  /** Returns the slot at which the running sum of the weights exceeds `sum`. */
  #positionAt(sum: number): number {
    let position = 0;
    let rest = sum;
    for (let step = 2 ** Math.floor(Math.log2(this.#slots.length)); step >= 1; step /= 2) {
      const weight = this.#tree[position + step];
      if (weight === undefined || weight > rest) continue;
      position += step;
      rest -= weight;
    }
    assert(position < this.#slots.length, "the sum is below that of all weights");
    return position;
  }
}

function weightOf({ availableBytes, activeWrites }: Candidate): number {
  if (availableBytes <= 0) return 0;
  const share = availableBytes / WEIGHT_BYTES / (1 + activeWrites / HALVING_WRITES);
  return Math.max(1, Math.floor(share));
}

function hasSamePlace({ location: one }: Candidate, { location: other }: Candidate): boolean {
  return one.rack === other.rack && one.host === other.host;
}

function count(counts: Map<string, number>, key: string, change: number): void {
  const total = (counts.get(key) ?? 0) + change;
  if (total === 0) counts.delete(key);
  else counts.set(key, total);
}

function hasOtherKey(counts: ReadonlyMap<string, number>, keys: ReadonlySet<string>): boolean {
  if (counts.size > keys.size) return true;
  for (const key of counts.keys()) if (!keys.has(key)) return true;
  return false;
}
