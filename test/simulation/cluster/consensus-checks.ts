import { readDurable } from "../../../master/namespace/durable.ts";
import type { Entry } from "../../../master/raft/messages.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { LogIndex } from "../../../shared/base/ids.ts";
import type { HashedStore } from "./hashed-stores.ts";
import type { ObservedMaster, SimulatedMaster } from "./simulated-servers.ts";
import type { StateCorruption } from "./state-corruption.ts";
import { Violation } from "./violation.ts";

/** The last observed state of one run of a master process. */
interface MemberObservation {
  readonly master: ObservedMaster;
  /** The last entry of the log. Null: the log was empty. */
  lastEntry: Entry | null;
  committedIndex: number;
  appliedIndex: number;
  term: number;
  isLeading: boolean;
}

/** A log entry that was observed on any member. */
interface KnownEntry {
  readonly term: number;
  readonly hash: number;
}

/** Passed to `slice` to return entries without a size limit. */
/**
 * Returns the entries from `from` to `to` that are in memory. Those that were evicted were checked
 * when they were in memory, or by the terms.
 */
function cachedEntries(
  entries: ObservedMaster["storage"]["log"]["entries"],
  from: number,
  to: number,
): Entry[] {
  const first = Math.max(from, entries.firstCachedIndex);
  if (first > to) return [];
  return entries.slice(first as LogIndex, (to + 1) as LogIndex, NO_LIMIT) ?? [];
}

const NO_LIMIT = Number.POSITIVE_INFINITY;

/**
 * Checks all masters after every event: the five properties of Raft (Raft, Figure 3), and that the
 * states of all members at one index are equal. It records everything that must never change.
 */
export class ConsensusChecks {
  readonly #masters: readonly SimulatedMaster[];
  readonly #observations = new Map<SimulatedMaster, MemberObservation>();
  /** By term: the host of its leader. */
  readonly #leaderOfTerm = new Map<number, string>();
  /** By index and term. Log Matching: there is at most one entry with an index and a term. */
  readonly #entries = new Map<string, KnownEntry & { readonly previousTerm: number }>();
  /** By index: the committed entry. */
  readonly #committed = new Map<number, KnownEntry>();
  readonly #stateCorruption: StateCorruption;
  /**
   * By index: the hash of the state of a member that had read a corrupt row, until a member with a
   * good state reaches this index.
   */
  readonly #affectedStates = new Map<number, string>();
  /** By index: the hash of the good state, and the first host that had it. */
  readonly #states = new Map<number, { readonly hash: string; readonly host: string }>();
  #committedIndexMax = 0;
  /** The number of comparisons between the states of two members. */
  stateComparisonCount = 0;

  constructor(masters: readonly SimulatedMaster[], stateCorruption: StateCorruption) {
    this.#masters = masters;
    this.#stateCorruption = stateCorruption;
    for (const master of masters) {
      master.stores.onCommitted = (name, store) => this.#onCommitted(master, name, store);
    }
  }

  /** Number of terms with a leader. */
  get termCount(): number {
    return this.#leaderOfTerm.size;
  }

  /** The highest index that any master has applied. */
  get committedIndexMax(): number {
    return this.#committedIndexMax;
  }

  /**
   * Checks the masters in which code ran since the last call; other masters cannot have changed.
   * Must be called after every event. Violations are reported to the simulation environment.
   */
  checkAll(): void {
    for (const process of this.#masters) {
      if (!process.hasRun || process.running === null || !process.isUp) continue;
      process.hasRun = false;
      this.#checkMember(process, process.running);
    }
  }

  #checkMember(process: SimulatedMaster, running: ObservedMaster): void {
    const observation = this.#observationOf(process, running);
    const { entries } = running.storage.log;
    const status = running.master.consensus.status();
    this.#compareEntries(process, observation, entries);
    const { committedIndex, appliedIndex, term } = status;
    if (term < observation.term) {
      this.#fail(process, `term decreases from ${observation.term} to ${term}`);
    }
    if (committedIndex < observation.committedIndex) {
      this.#fail(process, `commit index decreases from ${observation.committedIndex}`);
    }
    if (appliedIndex < observation.appliedIndex || appliedIndex > committedIndex) {
      this.#fail(
        process,
        `applied ${appliedIndex} after ${observation.appliedIndex}, committed ${committedIndex}`,
      );
    }
    // Leader Completeness is checked before the entries that the new leader commits are recorded.
    const isLeading = status.role === "leader";
    if (isLeading && !(observation.isLeading && observation.term === term)) {
      this.#onElected(process, term, entries);
    }
    observation.term = term;
    observation.isLeading = isLeading;
    observation.committedIndex = committedIndex;
    if (appliedIndex > observation.appliedIndex) {
      this.#onApplied(process, observation, appliedIndex);
    }
    observation.appliedIndex = appliedIndex;
  }

  #observationOf(process: SimulatedMaster, master: ObservedMaster): MemberObservation {
    const known = this.#observations.get(process);
    if (known?.master === master) return known;
    const { base } = master.storage.log.entries;
    const fresh: MemberObservation = {
      master,
      lastEntry: null,
      committedIndex: base.index,
      appliedIndex: 0,
      term: 0,
      isLeading: false,
    };
    this.#observations.set(process, fresh);
    return fresh;
  }

  /**
   * Checks Log Matching: two logs that have an entry with the same index and term are equal up to
   * this entry.
   */
  #compareEntries(
    process: SimulatedMaster,
    observation: MemberObservation,
    entries: ObservedMaster["storage"]["log"]["entries"],
  ): void {
    const { lastIndex, base } = entries;
    if (lastIndex === base.index) return;
    const [last] = cachedEntries(entries, lastIndex, lastIndex);
    if (last === undefined || last === observation.lastEntry) return;
    // The entries that were appended since the last check, or that replaced checked entries.
    const fromIndex = this.#firstUncheckedIndex(observation, entries);
    const fresh = cachedEntries(entries, fromIndex, lastIndex);
    const [first] = fresh;
    if (first === undefined) return;
    let previousTerm: number = entries.termAt((first.index - 1) as LogIndex);
    for (const entry of fresh) {
      this.#compareEntry(process, entry, previousTerm);
      previousTerm = entry.term;
    }
    observation.lastEntry = last;
  }

  #firstUncheckedIndex(
    observation: MemberObservation,
    entries: ObservedMaster["storage"]["log"]["entries"],
  ): number {
    const { base, lastIndex } = entries;
    const { lastEntry } = observation;
    const isExtended =
      lastEntry !== null &&
      lastEntry.index > base.index &&
      lastEntry.index <= lastIndex &&
      cachedEntries(entries, lastEntry.index, lastEntry.index)[0] === lastEntry;
    if (isExtended) return lastEntry.index + 1;
    // The log was truncated. Committed entries are never truncated.
    return Math.max(base.index, Math.min(observation.committedIndex, lastIndex - 1)) + 1;
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
      this.#fail(
        process,
        `Log Matching: two different entries with term/index ${entry.term}/${entry.index}`,
      );
    }
    if (known.previousTerm !== previousTerm) {
      this.#fail(process, `Log Matching: logs differ before ${entry.term}/${entry.index}`);
    }
  }

  /** Checks Election Safety and Leader Completeness for a new leader. */
  #onElected(
    process: SimulatedMaster,
    term: number,
    entries: ObservedMaster["storage"]["log"]["entries"],
  ): void {
    const known = this.#leaderOfTerm.get(term);
    if (known === undefined) {
      this.#leaderOfTerm.set(term, process.host);
    } else if (known !== process.host) {
      this.#fail(process, `Election Safety: ${known} and ${process.host} lead in term ${term}`);
    }
    if (entries.lastIndex < this.#committedIndexMax) {
      this.#fail(process, `Leader Completeness: entry ${this.#committedIndexMax} is missing`);
    }
    for (let index: number = entries.base.index; index <= this.#committedIndexMax; index += 1) {
      const committed = this.#committed.get(index);
      if (committed === undefined || entries.termAt(index as LogIndex) === committed.term) continue;
      this.#fail(process, `Leader Completeness: entry ${committed.term}/${index} is missing`);
    }
  }

  /**
   * Checks State Machine Safety: all members commit the same entry at an index. Only applied
   * entries are compared, because they are in the log. A committed entry can be missing in the log
   * of a follower that has not received it, or that will receive a snapshot instead.
   */
  #onApplied(process: SimulatedMaster, observation: MemberObservation, appliedIndex: number): void {
    const { entries } = observation.master.storage.log;
    const from = Math.max(observation.appliedIndex, entries.base.index) + 1;
    const to = Math.min(appliedIndex, entries.lastIndex);
    if (from > to) return;
    for (const entry of cachedEntries(entries, from, to)) {
      const known = this.#committed.get(entry.index);
      const hash = hashOf(entry);
      if (known === undefined) this.#committed.set(entry.index, { term: entry.term, hash });
      else if (known.hash !== hash || known.term !== entry.term) {
        this.#fail(
          process,
          `State Machine Safety: two entries are committed at index ${entry.index}`,
        );
      }
    }
    this.#committedIndexMax = Math.max(this.#committedIndexMax, to);
  }

  /** Compares a state that was committed to its store, from log entries or from a snapshot. */
  #onCommitted(process: SimulatedMaster, name: string, store: HashedStore): void {
    const { running } = process;
    if (running === null || running.stateName() !== name) return;
    this.#compareState(process, store);
  }

  /** Compares a state with the states of all members that were at the same index. */
  #compareState(process: SimulatedMaster, store: HashedStore): void {
    const index = indexOf(store);
    if (index === null || index === 0) return;
    const known = this.#states.get(index);
    if (this.#stateCorruption.isAffected(process)) {
      if (known === undefined) this.#affectedStates.set(index, store.hash);
      else if (known.hash !== store.hash) this.#stateCorruption.recordDivergence();
      return;
    }
    const affected = this.#affectedStates.get(index);
    if (affected !== undefined && affected !== store.hash) this.#stateCorruption.recordDivergence();
    this.#affectedStates.delete(index);
    if (known === undefined) {
      this.#states.set(index, { hash: store.hash, host: process.host });
      return;
    }
    if (known.host !== process.host) this.stateComparisonCount += 1;
    if (known.hash === store.hash) return;
    const hosts = [known.host, process.host];
    const text = `${hosts.join(" and ")} have different states at index ${index}`;
    process.environment.reportViolation(new Violation(text, hosts));
  }

  #fail(process: SimulatedMaster, text: string): void {
    const hosts = this.#masters.map((master) => master.host);
    process.environment.reportViolation(new Violation(`${process.host}: ${text}`, hosts));
  }
}

/** Returns the index of the state in the store. Null if a corrupt row prevents its decoding. */
function indexOf({ rowsAsWritten }: HashedStore): number | null {
  try {
    return readDurable(rowsAsWritten).index;
  } catch (error) {
    if (isAshlarError(error, "STORE_CORRUPT")) return null;
    throw error;
  }
}

/** Returns FNV-1a over the kind and the data of an entry. */
function hashOf(entry: Entry): number {
  let hash = entry.kind.length;
  for (const byte of entry.data) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}
