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

/** The state: a number that depends on every entry applied so far. */
export interface State {
  readonly index: LogIndex;
  readonly hash: number;
}

/** What survives a crash. */
interface DurableState {
  readonly log: MemoryStorage;
  /** The state machine as it was written last; it lags behind what is applied. */
  checkpoint: Snapshot;
}

/** A process that runs. Ends with a crash. */
interface Process {
  readonly core: Core;
  readonly node: RaftNode;
  readonly appends: { readonly dueTick: number; readonly append: StorageAppend }[];
  readonly applies: StorageApply[];
  state: State;
  /** Membership as of `state`. */
  membership: Snapshot["membership"];
}

/** What the simulation watches. */
export interface MemberEvents {
  appending(member: SimulatedMember, append: StorageAppend): void;
  applied(member: SimulatedMember, entry: Entry, state: State): void;
  installed(member: SimulatedMember, state: State): void;
  /** What it promises is durable; for another member or for itself. */
  replyReleased(message: PeerMessage): void;
  /** Leaves the member for another. */
  sent(member: SimulatedMember, message: PeerMessage): void;
  read(member: SimulatedMember, read: ReadState): void;
  /** Something happened to the member. */
  stepped(member: SimulatedMember): void;
}

/** Bounds so small that every one of them is reached in every run. */
const LIMITS = {
  messageBytesMax: 200,
  applyingBytesMax: 300,
  uncommittedBytesMax: 400,
  inflightMessagesMax: 4,
  inflightBytesMax: 400,
  pendingReadsMax: 16,
};

/** One member with its disk: the real core under a driver that does as `Ready` says. */
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

  /** Only of a member that runs. */
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

  /** Whether an entry is on this disk, or in the state that is. */
  holdsDurably(index: LogIndex, term: number): boolean {
    const { log } = this.#disk;
    if (index < log.firstIndex()) return true;
    const result = log.term(index);
    return result.kind === "term" && result.term === term;
  }

  start(): void {
    assert(this.#process === null, "a member runs once");
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

  /** What was being written is there or not, up to some point; nobody is told. */
  crash(): void {
    const { appends } = this.#running();
    const doneCount = this.#random.integer(appends.length + 1);
    for (const { append } of appends.slice(0, doneCount)) this.#write(append);
    const torn = appends[doneCount]?.append;
    if (torn !== undefined && torn.snapshot === null) {
      // The hard state comes last, so it is not there yet.
      const entries = torn.entries.slice(0, this.#random.integer(torn.entries.length + 1));
      this.#disk.log.write({ entries, snapshot: null, hardState: null });
    }
    this.#process = null;
  }

  /** A tick of the clock, and what storage has done by then. */
  tick(tick: number, writeTicksMax: number): void {
    this.node.tick();
    this.#completeAppends(tick, writeTicksMax);
    if (this.#random.fraction() < 0.7) this.#completeApply();
    this.drain(tick, writeTicksMax);
  }

  receive(message: Message): void {
    this.node.step(message);
  }

  /** Takes all work that has come up. */
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

  /** Writes down the state and drops the log before it, but for a tail. */
  compact(): void {
    if (!this.#checkpoint()) return;
    const { log, checkpoint } = this.#disk;
    const compactIndex = (checkpoint.index - this.#random.integer(6)) as LogIndex;
    if (compactIndex >= log.firstIndex()) log.compact(compactIndex);
  }

  /** @returns false if a snapshot is about to replace the state. */
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
    assert(this.#process !== null, "the member runs");
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
    // A snapshot waits for the applying that is under way.
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
      assert(entry.index === process.state.index + 1, "entries are applied one after the other");
      const hash = mix(process.state.hash, entry);
      // The core may ask for a snapshot meanwhile: it gets the state from before the change.
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
        // Now and then the entries must be fetched from disk first.
        const isSlow = this.#random.fraction() < 0.02;
        return isSlow ? this.#fetchLater() : log.entries(range, bytesMax);
      },
      term: (index) => log.term(index),
      firstIndex: () => log.firstIndex(),
      lastIndex: () => log.lastIndex(),
      snapshot: () => {
        if (this.#random.fraction() < 0.1) return { kind: "unavailable" };
        if (this.#random.fraction() < 0.5) this.#checkpoint();
        return { kind: "snapshot", snapshot: disk.checkpoint };
      },
    };
  }

  /** They are there with the next message to come. */
  #fetchLater(): { readonly kind: "unavailable" } {
    this.isFetching = true;
    return { kind: "unavailable" };
  }

  /** The storage owes the core an `entriesLoaded`. */
  isFetching = false;

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
