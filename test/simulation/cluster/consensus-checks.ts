import { readDurable } from "../../../master/namespace/durable.ts";
import type { Entry } from "../../../master/raft/messages.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { LogIndex } from "../../../shared/base/ids.ts";
import type { HashedStore } from "./hashed-stores.ts";
import type { SimulatedMaster, WatchedMaster } from "./simulated-servers.ts";
import type { StateRot } from "./state-corruption.ts";
import { Violation } from "./violation.ts";

/** What one life of a member has shown so far. */
interface Seen {
  readonly master: WatchedMaster;
  lastEntry: Entry | null;
  /** Up to where its entries were compared. */
  comparedIndex: number;
  committedIndex: number;
  appliedIndex: number;
  term: number;
  isLeading: boolean;
}

interface KnownEntry {
  readonly term: number;
  readonly hash: number;
}

const NO_LIMIT = Number.POSITIVE_INFINITY;

/**
 * Looks at all masters after every event, and remembers what may never change: the five properties
 * of Raft (Raft, Figure 3), and one state for one index.
 */
export class ConsensusChecks {
  readonly #masters: readonly SimulatedMaster[];
  readonly #seen = new Map<SimulatedMaster, Seen>();
  readonly #leaderOfTerm = new Map<number, string>();
  /** By index and term: Log Matching says that there is one. */
  readonly #entries = new Map<string, KnownEntry & { readonly previousTerm: number }>();
  readonly #committed = new Map<number, KnownEntry>();
  readonly #rot: StateRot;
  /** By index: what a member with a rotten state has there, before anybody else was there. */
  readonly #doubted = new Map<number, string>();
  readonly #states = new Map<number, { readonly hash: string; readonly host: string }>();
  #committedIndexMax = 0;
  /** States of two members that were compared. */
  stateComparisons = 0;

  constructor(masters: readonly SimulatedMaster[], rot: StateRot) {
    this.#masters = masters;
    this.#rot = rot;
    for (const master of masters) {
      master.stores.onCommitted = (name, store) => this.#onCommitted(master, name, store);
    }
  }

  get termCount(): number {
    return this.#leaderOfTerm.size;
  }

  get committedIndexMax(): number {
    return this.#committedIndexMax;
  }

  /** After anything happened: at those in whom something ran, since nothing else changes a member. */
  look(): void {
    for (const process of this.#masters) {
      if (!process.hasRun || process.running === null || !process.isUp) continue;
      process.hasRun = false;
      this.#lookAt(process, process.running);
    }
  }

  #lookAt(process: SimulatedMaster, running: WatchedMaster): void {
    const seen = this.#seenOf(process, running);
    const { entries } = running.storage.log;
    const status = running.master.consensus.status();
    this.#compareEntries(process, seen, entries);
    const { committedIndex, appliedIndex, term } = status;
    if (term < seen.term) this.#fail(process, `goes back from term ${seen.term} to ${term}`);
    if (committedIndex < seen.committedIndex) {
      this.#fail(process, `takes back its commit index ${seen.committedIndex}`);
    }
    if (appliedIndex < seen.appliedIndex || appliedIndex > committedIndex) {
      this.#fail(
        process,
        `applied ${appliedIndex} after ${seen.appliedIndex} of ${committedIndex}`,
      );
    }
    // A leader is looked at before what it commits itself.
    const isLeading = status.role === "leader";
    if (isLeading && !(seen.isLeading && seen.term === term)) {
      this.#onElected(process, term, entries);
    }
    seen.term = term;
    seen.isLeading = isLeading;
    seen.committedIndex = committedIndex;
    if (appliedIndex > seen.appliedIndex) this.#onApplied(process, seen, appliedIndex);
    seen.appliedIndex = appliedIndex;
  }

  #seenOf(process: SimulatedMaster, master: WatchedMaster): Seen {
    const known = this.#seen.get(process);
    if (known?.master === master) return known;
    const { base } = master.storage.log.entries;
    const fresh: Seen = {
      master,
      lastEntry: null,
      comparedIndex: base.index,
      committedIndex: base.index,
      appliedIndex: 0,
      term: 0,
      isLeading: false,
    };
    this.#seen.set(process, fresh);
    return fresh;
  }

  /** Log Matching: an entry with an index and a term is the same everywhere, and so is what precedes it. */
  #compareEntries(
    process: SimulatedMaster,
    seen: Seen,
    entries: WatchedMaster["storage"]["log"]["entries"],
  ): void {
    const { lastIndex, base } = entries;
    if (lastIndex === base.index) return;
    const [last] = entries.slice(lastIndex, (lastIndex + 1) as LogIndex, NO_LIMIT);
    if (last === undefined || last === seen.lastEntry) return;
    // What follows the last look, or replaces what it saw.
    const fromIndex = this.#firstUnseen(seen, entries);
    const fresh = entries.slice(fromIndex as LogIndex, (lastIndex + 1) as LogIndex, NO_LIMIT);
    let previousTerm: number = entries.termAt((fromIndex - 1) as LogIndex);
    for (const entry of fresh) {
      this.#compareEntry(process, entry, previousTerm);
      previousTerm = entry.term;
    }
    seen.lastEntry = last;
    seen.comparedIndex = lastIndex;
  }

  #firstUnseen(seen: Seen, entries: WatchedMaster["storage"]["log"]["entries"]): number {
    const { base, lastIndex } = entries;
    const { lastEntry } = seen;
    const isExtended =
      lastEntry !== null &&
      lastEntry.index > base.index &&
      lastEntry.index <= lastIndex &&
      entries.slice(lastEntry.index, (lastEntry.index + 1) as LogIndex, NO_LIMIT)[0] === lastEntry;
    if (isExtended) return lastEntry.index + 1;
    // Something was cut off: what is committed was not.
    return Math.max(base.index, Math.min(seen.committedIndex, lastIndex - 1)) + 1;
  }

  #compareEntry(process: SimulatedMaster, entry: Entry, previousTerm: number): void {
    const key = `${entry.index} ${entry.term}`;
    const hash = hashOf(entry);
    const known = this.#entries.get(key);
    if (known === undefined) {
      this.#entries.set(key, { term: entry.term, hash, previousTerm });
      return;
    }
    if (known.hash !== hash) {
      this.#fail(process, `Log Matching: two entries at ${entry.term}/${entry.index}`);
    }
    if (known.previousTerm !== previousTerm) {
      this.#fail(process, `Log Matching: logs differ before ${entry.term}/${entry.index}`);
    }
  }

  #onElected(
    process: SimulatedMaster,
    term: number,
    entries: WatchedMaster["storage"]["log"]["entries"],
  ): void {
    const known = this.#leaderOfTerm.get(term);
    if (known === undefined) {
      this.#leaderOfTerm.set(term, process.host);
    } else if (known !== process.host) {
      this.#fail(process, `Election Safety: ${known} and ${process.host} lead in term ${term}`);
    }
    if (entries.lastIndex < this.#committedIndexMax) {
      this.#fail(process, `Leader Completeness: it lacks ${this.#committedIndexMax}`);
    }
    for (let index: number = entries.base.index; index <= this.#committedIndexMax; index += 1) {
      const committed = this.#committed.get(index);
      if (committed === undefined || entries.termAt(index as LogIndex) === committed.term) continue;
      this.#fail(process, `Leader Completeness: it lacks ${committed.term}/${index}`);
    }
  }

  /**
   * State Machine Safety: at one index everyone commits one entry. What is applied is in the log;
   * what is only committed may still be on its way there, or be covered by a snapshot that is.
   */
  #onApplied(process: SimulatedMaster, seen: Seen, appliedIndex: number): void {
    const { entries } = seen.master.storage.log;
    const from = Math.max(seen.appliedIndex, entries.base.index) + 1;
    const to = Math.min(appliedIndex, entries.lastIndex);
    if (from > to) return;
    for (const entry of entries.slice(from as LogIndex, (to + 1) as LogIndex, NO_LIMIT)) {
      const known = this.#committed.get(entry.index);
      const hash = hashOf(entry);
      if (known === undefined) this.#committed.set(entry.index, { term: entry.term, hash });
      else if (known.hash !== hash || known.term !== entry.term) {
        this.#fail(process, `State Machine Safety: another entry is committed at ${entry.index}`);
      }
    }
    this.#committedIndexMax = Math.max(this.#committedIndexMax, to);
  }

  /** One state for one index, whoever applied it, and whether by log or by snapshot. */
  #onCommitted(process: SimulatedMaster, name: string, store: HashedStore): void {
    const { running } = process;
    if (running === null || running.stateName() !== name) return;
    this.compareState(process, store);
  }

  compareState(process: SimulatedMaster, store: HashedStore): void {
    const index = indexOf(store);
    if (index === null || index === 0) return;
    const known = this.#states.get(index);
    if (this.#rot.isTainted(process)) {
      if (known === undefined) this.#doubted.set(index, store.hash);
      else if (known.hash !== store.hash) this.#rot.noteDivergence();
      return;
    }
    const doubted = this.#doubted.get(index);
    if (doubted !== undefined && doubted !== store.hash) this.#rot.noteDivergence();
    this.#doubted.delete(index);
    if (known === undefined) {
      this.#states.set(index, { hash: store.hash, host: process.host });
      return;
    }
    if (known.host !== process.host) this.stateComparisons += 1;
    if (known.hash === store.hash) return;
    const hosts = [known.host, process.host];
    const text = `${hosts.join(" and ")} have different states at index ${index}`;
    process.world.fail(new Violation(text, hosts));
  }

  #fail(process: SimulatedMaster, text: string): void {
    const hosts = this.#masters.map((master) => master.host);
    process.world.fail(new Violation(`${process.host}: ${text}`, hosts));
  }
}

function indexOf({ written }: HashedStore): number | null {
  try {
    return readDurable(written).index;
  } catch (error) {
    if (isAshlarError(error, "STORE_CORRUPT")) return null;
    throw error;
  }
}

/** FNV-1a over kind and data. */
function hashOf(entry: Entry): number {
  let hash = entry.kind.length;
  for (const byte of entry.data) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}
