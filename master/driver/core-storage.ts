import { assert } from "../../shared/base/assert.ts";
import type { LogIndex } from "../../shared/base/ids.ts";
import { maxIndex } from "../raft/entries.ts";
import type { HardState, Membership } from "../raft/messages.ts";
import type {
  EntriesResult,
  LogRange,
  SnapshotResult,
  Storage,
  TermResult,
} from "../raft/storage.ts";
import type { StateMachine } from "../state-machine.ts";
import type { LoadedEntries } from "./loaded-entries.ts";
import type { DurableLog } from "./member-storage.ts";
import { decodeMembershipRecord } from "./membership-record.ts";

const NO_DATA = new Uint8Array(0);

/** Dependencies of CoreStorage. */
export interface CoreStorageOptions {
  readonly log: DurableLog;
  readonly loaded: LoadedEntries;
  readonly machine: () => StateMachine;
  /** The membership before the first entry that contains one. */
  readonly founders: Membership;
}

/**
 * The log and the durable state as the Raft core reads them. No method waits for the disk: entries
 * that are not in memory are loaded in the background, and the core needs only the position and the
 * membership of the state.
 */
export class CoreStorage implements Storage {
  readonly #log: DurableLog;
  readonly #loaded: LoadedEntries;
  readonly #machine: () => StateMachine;
  readonly #founders: Membership;

  constructor({ log, loaded, machine, founders }: CoreStorageOptions) {
    this.#log = log;
    this.#loaded = loaded;
    this.#machine = machine;
    this.#founders = founders;
  }

  /** Returns the hard state and the membership with which the core starts. */
  initialState(): { readonly hardState: HardState; readonly membership: Membership } {
    const { hardState } = this.#log;
    // The state contains committed entries only, but its flush may precede the write of the
    // hard state, so the commit index of the log may be smaller.
    const commitIndex = maxIndex(hardState.commitIndex, this.#machine().durable.index);
    return { hardState: { ...hardState, commitIndex }, membership: this.#membership() };
  }

  entries(range: LogRange, bytesMax: number): EntriesResult {
    const { entries } = this.#log;
    if (range.fromIndex < entries.firstIndex) return { kind: "compacted" };
    assert(range.toIndex <= entries.lastIndex + 1, "the core reads entries that the log has");
    const found =
      entries.slice(range.fromIndex, range.toIndex, bytesMax) ?? this.#loaded.read(range, bytesMax);
    return found === null ? { kind: "unavailable" } : { kind: "entries", entries: found };
  }

  term(index: LogIndex): TermResult {
    const { entries } = this.#log;
    if (index < entries.base.index) return { kind: "compacted" };
    if (index > entries.lastIndex) return { kind: "unavailable" };
    return { kind: "term", term: entries.termAt(index) };
  }

  termStart(index: LogIndex): LogIndex {
    return this.#log.entries.termStart(index);
  }

  firstIndex(): LogIndex {
    return this.#log.entries.firstIndex;
  }

  lastIndex(): LogIndex {
    return this.#log.entries.lastIndex;
  }

  /**
   * Returns the position and the membership of the durable state, without its data. The
   * SnapshotSender opens the state when it sends it.
   */
  snapshot(): SnapshotResult {
    const { index, term } = this.#machine().durable;
    if (index === 0 || index < this.#log.entries.base.index) return { kind: "unavailable" };
    const membership = this.#membership();
    return { kind: "snapshot", snapshot: { index, term, membership, data: NO_DATA } };
  }

  /** Returns the membership that the durable state stores. */
  #membership(): Membership {
    const snapshot = this.#machine().openSnapshot();
    try {
      if (snapshot.membership.length === 0) return this.#founders;
      return decodeMembershipRecord(snapshot.membership).membership;
    } finally {
      snapshot.release();
    }
  }
}
