import type { Core, ReadState } from "../../../master/raft/core.ts";
import { createCore } from "../../../master/raft/core.ts";
import { decodeChange } from "../../../master/raft/membership-change.ts";
import type {
  Entry,
  Message,
  PeerMessage,
  Snapshot,
  StorageAppend,
  StorageApply,
} from "../../../master/raft/messages.ts";
import type { RaftOptions } from "../../../master/raft/options.ts";
import { RaftNode } from "../../../master/raft/raft.ts";
import type { Storage } from "../../../master/raft/storage.ts";
import { assert } from "../../../shared/base/assert.ts";
import type { LogIndex, MemberId } from "../../../shared/base/ids.ts";
import { MemoryStorage } from "../../support/raft-memory-storage.ts";
import type { SeededRandom } from "../../support/seeded-random.ts";

/** State of the state machine: a hash of all applied entries. */
export interface State {
  readonly index: LogIndex;
  readonly hash: number;
}

/** State that survives a crash. */
interface DurableState {
  readonly log: MemoryStorage;
  /** The last stored state of the state machine. It lags behind the applied state. */
  checkpoint: Snapshot;
}

/** State of a running process. A crash discards it. */
interface Process {
  readonly core: Core;
  readonly node: RaftNode;
  readonly appends: { readonly dueTick: number; readonly append: StorageAppend }[];
  readonly applies: StorageApply[];
  state: State;
  /** Membership as of `state`. */
  membership: Snapshot["membership"];
}

/** Events of a member that the simulation observes. */
export interface MemberEvents {
  /** The member starts to write an append. */
  appending(member: SimulatedMember, append: StorageAppend): void;
  /** The member has applied an entry. */
  applied(member: SimulatedMember, entry: Entry, state: State): void;
  /** The member has installed a snapshot. */
  installed(member: SimulatedMember, state: State): void;
  /** The append of a reply is durable. The receiver is another member or the member itself. */
  replyReleased(message: PeerMessage): void;
  /** The member sends a message to another member. */
  sent(member: SimulatedMember, message: PeerMessage): void;
  /** A read of the member is confirmed. */
  read(member: SimulatedMember, read: ReadState): void;
  /** The core of the member has processed an input. */
  stepped(member: SimulatedMember): void;
}

/** Limits so low that each of them is reached in every run. */
const LIMITS = {
  messageBytesMax: 200,
  applyingBytesMax: 300,
  uncommittedBytesMax: 400,
  inflightMessagesMax: 4,
  inflightBytesMax: 400,
  pendingReadsMax: 16,
};

/**
 * One member with its disk: the production core and a driver that follows the contract of `Ready`.
 */
export class SimulatedMember {
  readonly id: MemberId;
  readonly #random: SeededRandom;
  readonly #events: MemberEvents;
  readonly #disk: DurableState;
  readonly #options: Partial<RaftOptions>;
  #process: Process | null = null;
  pausedUntilTick = 0;

  constructor(options: {
    readonly id: MemberId;
    readonly random: SeededRandom;
    readonly events: MemberEvents;
    readonly founding: Snapshot | null;
    readonly settings: Partial<RaftOptions>;
  }) {
    this.id = options.id;
    this.#random = options.random;
    this.#events = options.events;
    this.#options = options.settings;
    const log = new MemoryStorage();
    const { membership } = log.initialState();
    const nothing = { index: 0, term: 0, membership, data: encodeHash(0) } as Snapshot;
    this.#disk = { log, checkpoint: options.founding ?? nothing };
    const { founding } = options;
    if (founding !== null) log.write({ hardState: null, entries: [], snapshot: founding });
  }

  get isRunning(): boolean {
    return this.#process !== null;
  }

  /** Core of the running process. */
  get core(): Core {
    return this.#running().core;
  }

  get node(): RaftNode {
    return this.#running().node;
  }

  get appliedState(): State {
    return this.#running().state;
  }

  get membership(): Snapshot["membership"] {
    return this.#running().membership;
  }

  /** Whether an entry is in the log or in the state on this disk. */
  holdsDurably(index: LogIndex, term: number): boolean {
    const { log } = this.#disk;
    if (index < log.firstIndex()) return true;
    const result = log.term(index);
    return result.kind === "term" && result.term === term;
  }

  /** Starts the process from the disk. */
  start(): void {
    assert(this.#process === null, "the member is not running yet");
    const { checkpoint } = this.#disk;
    const core = createCore({
      ...LIMITS,
      ...this.#options,
      id: this.id,
      storage: this.#storage(),
      random: () => this.#random.fraction(),
      appliedIndex: checkpoint.index,
    });
    this.#process = {
      core,
      node: new RaftNode(core),
      appends: [],
      applies: [],
      state: { index: checkpoint.index, hash: decodeHash(checkpoint.data) },
      membership: checkpoint.membership,
    };
  }

  /** Stops the process. A prefix of the pending writes is on the disk; no reply is delivered. */
  crash(): void {
    const { appends } = this.#running();
    const doneCount = this.#random.integer(appends.length + 1);
    for (const { append } of appends.slice(0, doneCount)) this.#write(append);
    const torn = appends[doneCount]?.append;
    if (torn !== undefined && torn.snapshot === null) {
      // The hard state is written last, so it is not on the disk yet.
      const entries = torn.entries.slice(0, this.#random.integer(torn.entries.length + 1));
      this.#disk.log.write({ entries, snapshot: null, hardState: null });
    }
    this.#process = null;
  }

  /** Advances the clock by one tick and completes the storage work that is due. */
  tick(tick: number, writeTicksMax: number): void {
    this.node.tick();
    this.#completeAppends(tick, writeTicksMax);
    if (this.#random.fraction() < 0.7) this.#completeApply();
    this.drain(tick, writeTicksMax);
  }

  receive(message: Message): void {
    const result = this.node.step(message);
    assert(typeof result !== "object", "no member sends a message that contradicts a log");
  }

  /** Takes and starts all pending work of the core. */
  drain(tick: number, writeTicksMax: number): void {
    const { node, appends, applies } = this.#running();
    while (node.hasReady()) {
      const ready = node.ready();
      for (const message of ready.messages) this.#events.sent(this, message);
      for (const read of ready.readStates) this.#events.read(this, read);
      if (ready.append !== null) {
        this.#events.appending(this, ready.append);
        const writeTicks = writeTicksMax === 0 ? 0 : this.#random.integer(writeTicksMax + 1);
        appends.push({ dueTick: tick + writeTicks, append: ready.append });
      }
      if (ready.apply !== null) applies.push(ready.apply);
      this.#events.stepped(this);
      if (writeTicksMax === 0) this.#completeAppends(tick, writeTicksMax);
    }
  }

  /** Stores the state and compacts the log before it, except for a short tail. */
  compact(): void {
    if (!this.#checkpoint()) return;
    const { log, checkpoint } = this.#disk;
    const compactIndex = (checkpoint.index - this.#random.integer(6)) as LogIndex;
    if (compactIndex >= log.firstIndex()) log.compact(compactIndex);
  }

  /** Stores the state. @returns false if a pending snapshot will replace it. */
  #checkpoint(): boolean {
    const { state, membership, core } = this.#running();
    const { log } = this.#disk;
    const { index } = state;
    const term = log.term(index);
    if (index === 0 || core.log.unstable.snapshot !== null || term.kind !== "term") return false;
    this.#disk.checkpoint = { index, term: term.term, membership, data: encodeHash(state.hash) };
    return true;
  }

  #running(): Process {
    assert(this.#process !== null, "the member is running");
    return this.#process;
  }

  #completeAppends(tick: number, writeTicksMax: number): void {
    for (let append = this.#nextDurable(tick); append; append = this.#nextDurable(tick)) {
      this.#write(append);
      if (append.snapshot !== null) this.#install(append.snapshot);
      this.#deliver(append.replies);
      if (writeTicksMax > 0) this.drain(tick, writeTicksMax);
    }
  }

  #nextDurable(tick: number): StorageAppend | undefined {
    const { appends, applies } = this.#running();
    const next = appends[0];
    if (next === undefined || next.dueTick > tick) return undefined;
    // A snapshot waits until the pending applies are complete.
    if (next.append.snapshot !== null && applies.length > 0) return undefined;
    appends.shift();
    return next.append;
  }

  #deliver(replies: readonly Message[]): void {
    for (const reply of replies) {
      if ("from" in reply) this.#events.replyReleased(reply);
      if (reply.to === this.id) this.node.step(reply);
      else if ("from" in reply) this.#events.sent(this, reply);
      this.#events.stepped(this);
    }
  }

  #write(append: StorageAppend): void {
    this.#disk.log.write(append);
    if (append.snapshot !== null) this.#disk.checkpoint = append.snapshot;
  }

  #install(snapshot: Snapshot): void {
    const process = this.#running();
    process.state = { index: snapshot.index, hash: decodeHash(snapshot.data) };
    process.membership = snapshot.membership;
    this.#events.installed(this, process.state);
  }

  #completeApply(): void {
    const process = this.#running();
    const apply = process.applies.shift();
    if (apply === undefined) return;
    for (const entry of apply.entries) {
      assert(entry.index === process.state.index + 1, "entries are applied in order");
      const hash = mix(process.state.hash, entry);
      // The core may request a snapshot during the call: it gets the state before the change.
      if (entry.kind !== "normal") {
        process.membership = process.node.applyMembershipChange(decodeChange(entry));
        this.#events.stepped(this);
      }
      process.state = { index: entry.index, hash };
      this.#events.applied(this, entry, process.state);
    }
    process.node.step(apply.reply);
    this.#events.stepped(this);
  }

  #storage(): Storage {
    const disk = this.#disk;
    const { log } = disk;
    return {
      initialState: () => ({
        hardState: log.initialState().hardState,
        membership: disk.checkpoint.membership,
      }),
      entries: (range, bytesMax) => {
        // Sometimes the entries must be loaded from the disk first.
        const isSlow = this.#random.fraction() < 0.02;
        return isSlow ? this.#fetchLater() : log.entries(range, bytesMax);
      },
      term: (index) => log.term(index),
      termStart: (index) => log.termStart(index),
      firstIndex: () => log.firstIndex(),
      lastIndex: () => log.lastIndex(),
      snapshot: () => {
        if (this.#random.fraction() < 0.1) return { kind: "unavailable" };
        if (this.#random.fraction() < 0.5) this.#checkpoint();
        return { kind: "snapshot", snapshot: disk.checkpoint };
      },
    };
  }

  /** The entries are loaded before the next tick. */
  #fetchLater(): { readonly kind: "unavailable" } {
    this.isFetching = true;
    return { kind: "unavailable" };
  }

  /** Whether the storage must call `entriesLoaded`. */
  isFetching = false;

  /** Reports that the entries are loaded. */
  completeFetch(): void {
    this.isFetching = false;
    this.node.entriesLoaded();
  }
}

function mix(hash: number, entry: Entry): number {
  let mixed = Math.imul(hash ^ entry.index, 0x9e3779b1) ^ entry.term;
  for (const byte of entry.data) mixed = Math.imul(mixed ^ byte, 0x01000193);
  return mixed >>> 0;
}

function encodeHash(hash: number): Uint8Array {
  const data = new Uint8Array(4);
  new DataView(data.buffer).setUint32(0, hash);
  return data;
}

function decodeHash(data: Uint8Array): number {
  return new DataView(data.buffer, data.byteOffset).getUint32(0);
}
