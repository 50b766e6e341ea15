import type { Core } from "../../../../master/raft/core.ts";
import { createCore } from "../../../../master/raft/core.ts";
import { decodeChange } from "../../../../master/raft/membership-change.ts";
import type {
  Entry,
  HardState,
  Membership,
  Message,
  PeerMessage,
  Snapshot,
  StorageAppend,
  StorageApply,
} from "../../../../master/raft/messages.ts";
import { INDEX_ZERO, TERM_ZERO } from "../../../../master/raft/messages.ts";
import type { RaftSettings } from "../../../../master/raft/options.ts";
import type { Leadership, Ready } from "../../../../master/raft/raft.ts";
import { RaftNode } from "../../../../master/raft/raft.ts";
import type { Storage } from "../../../../master/raft/storage.ts";
import { concatBytes } from "../../../../shared/base/bytes.ts";
import type { MemberId } from "../../../../shared/base/ids.ts";
import { EMPTY_MEMBERSHIP, MemoryStorage } from "../../../support/raft-memory-storage.ts";
import {
  describeAppend,
  describeApply,
  describeEntry,
  describeHardState,
  describeLeadership,
  describeMessage,
  describeSnapshot,
} from "./describe.ts";
import type { ScenarioOutput } from "./scenario-output.ts";

/** The initial state of an empty member. */
export const EMPTY_SNAPSHOT: Snapshot = {
  index: INDEX_ZERO,
  term: TERM_ZERO,
  membership: EMPTY_MEMBERSHIP,
  data: new Uint8Array(0),
};

/** Options of a `ScenarioMember`. */
export interface ScenarioMemberOptions {
  readonly id: MemberId;
  readonly settings: RaftSettings;
  /** Initial state of the member: `EMPTY_SNAPSHOT` for an empty member. */
  readonly snapshot: Snapshot;
  /**
   * Whether the scenario processes the append queue and the apply queue separately. If false,
   * `processReady` writes and applies a Ready in one step.
   */
  readonly isAsync: boolean;
}

/**
 * One member of a scenario. Its state machine concatenates the applied data. The member keeps the
 * state of every index, so that the latest state is always available as a snapshot.
 */
export class ScenarioMember {
  readonly id: MemberId;
  readonly isAsync: boolean;
  readonly core: Core;
  readonly node: RaftNode;
  readonly storage = new MemoryStorage();
  readonly appendQueue: StorageAppend[] = [];
  readonly applyQueue: StorageApply[] = [];
  readonly #history: Snapshot[];
  #shownLeadership: Pick<Leadership, "role" | "leaderId">;
  #shownHardState: HardState;

  constructor(options: ScenarioMemberOptions) {
    this.id = options.id;
    this.isAsync = options.isAsync;
    this.#history = [options.snapshot];
    const { snapshot } = options;
    if (snapshot.index > 0) this.storage.write({ hardState: null, entries: [], snapshot });
    this.core = createCore({
      ...options.settings,
      id: options.id,
      storage: this.#latestSnapshotStorage(),
      random: () => 0.5,
      appliedIndex: snapshot.index,
      applyUnstable: !options.isAsync,
    });
    this.node = new RaftNode(this.core);
    this.#shownLeadership = { role: "follower", leaderId: 0 as MemberId };
    this.#shownHardState = this.storage.initialState().hardState;
  }

  /** The state after the last applied entry. */
  get latestSnapshot(): Snapshot {
    return this.#history.at(-1) as Snapshot;
  }

  /** Processes one Ready, or adds it to the queues. @returns the messages to other members. */
  processReady(output: ScenarioOutput): readonly PeerMessage[] {
    const ready = this.node.ready();
    output.write(this.#describeReady(ready));
    const { messages, append, apply } = ready;
    if (this.isAsync) {
      if (append !== null) this.appendQueue.push(append);
      if (apply !== null) this.applyQueue.push(apply);
      return messages;
    }
    if (append !== null) this.storage.write(append);
    if (apply !== null) this.#apply(apply.entries);
    const replies = append?.replies ?? [];
    for (const reply of replies) if (reply.to === this.id) this.node.step(reply);
    if (apply !== null) this.node.step(apply.reply);
    return [...messages, ...this.#peerMessages(replies)];
  }

  /** Makes one append durable. @returns its replies. */
  processAppend(output: ScenarioOutput): readonly Message[] {
    const append = this.appendQueue.shift();
    if (append === undefined) {
      output.write("no append work to perform");
      return [];
    }
    output.line("Processing:");
    output.line(describeAppend(this.id, append, { withReplies: false }));
    this.storage.write(append);
    output.line("Responses:");
    for (const reply of append.replies) output.line(describeMessage(reply));
    return append.replies;
  }

  /** Applies the entries of one apply. @returns its reply. */
  processApply(output: ScenarioOutput): readonly Message[] {
    const apply = this.applyQueue.shift();
    if (apply === undefined) {
      output.write("no apply work to perform");
      return [];
    }
    output.line("Processing:");
    output.line(describeApply(this.id, apply, { withReplies: false }));
    this.#apply(apply.entries);
    output.line("Responses:");
    output.line(describeMessage(apply.reply));
    return [apply.reply];
  }

  /** Prints a Ready in upstream's order. */
  #describeReady(ready: Ready): string {
    const { append, apply } = ready;
    const entries = append?.entries ?? [];
    const lines: string[] = [...this.#newLeadership(ready)];
    const mustSync = entries.length > 0 || this.#isVoteNew(append?.hardState ?? null);
    if (append?.hardState) {
      lines.push(`HardState ${describeHardState(append.hardState)}`);
      this.#shownHardState = append.hardState;
    }
    for (const { readId, readIndex } of ready.readStates) {
      lines.push(`ReadState ${this.#readNumber(readId)} at ${readIndex}`);
    }
    lines.push(...section("Entries:", entries.map(describeEntry)));
    if (append?.snapshot) lines.push(`Snapshot ${describeSnapshot(append.snapshot)}`);
    lines.push(...section("CommittedEntries:", (apply?.entries ?? []).map(describeEntry)));
    lines.push(...section("Messages:", this.#describeMessages(ready)));
    if (lines.length === 0) return "<empty Ready>";
    return `Ready MustSync=${mustSync}:\n${lines.map((line) => `${line}\n`).join("")}`;
  }

  #describeMessages(ready: Ready): readonly string[] {
    const { messages, append, apply } = ready;
    const lines = messages.map((message) => describeMessage(message));
    if (!this.isAsync) {
      const others = this.#peerMessages(append?.replies ?? []);
      return [...lines, ...others.map((message) => describeMessage(message))];
    }
    if (append !== null) lines.push(describeAppend(this.id, append, { withReplies: true }));
    if (apply !== null) lines.push(describeApply(this.id, apply, { withReplies: true }));
    return lines;
  }

  /** Returns the line about a new leader or role. Upstream prints no line if only the term changed. */
  #newLeadership(ready: Ready): readonly string[] {
    if (ready.leadership === null) return [];
    const { role, leaderId } = ready.leadership;
    const shown = this.#shownLeadership;
    this.#shownLeadership = { role, leaderId };
    const isNew = shown.role !== role || shown.leaderId !== leaderId;
    return isNew ? [describeLeadership(ready.leadership)] : [];
  }

  #isVoteNew(hardState: HardState | null): boolean {
    if (hardState === null) return false;
    const { term, votedFor } = this.#shownHardState;
    return hardState.term !== term || hardState.votedFor !== votedFor;
  }

  /** Returns the number of a read: its id minus the first id, which is the same in every scenario. */
  #readNumber(readId: number): number {
    return readId - 2 ** 49;
  }

  #peerMessages(replies: readonly Message[]): readonly PeerMessage[] {
    const peers = replies.filter(
      (reply): reply is PeerMessage =>
        reply.kind !== "storage-appended" && reply.kind !== "storage-applied",
    );
    return peers.filter((reply) => reply.to !== this.id);
  }

  #apply(entries: readonly Entry[]): void {
    for (const entry of entries) {
      const before = this.latestSnapshot;
      let membership: Membership = before.membership;
      let update = entry.data;
      if (entry.kind !== "normal") {
        const change = decodeChange(entry);
        membership = this.node.applyMembershipChange(change);
        update = change.context;
      }
      const data = concatBytes([before.data, update]);
      this.#history.push({ index: entry.index, term: entry.term, membership, data });
    }
  }

  #latestSnapshotStorage(): Storage {
    const { storage } = this;
    return {
      initialState: () => storage.initialState(),
      entries: (range, bytesMax) => storage.entries(range, bytesMax),
      term: (index) => storage.term(index),
      termStart: (index) => storage.termStart(index),
      firstIndex: () => storage.firstIndex(),
      lastIndex: () => storage.lastIndex(),
      snapshot: () => ({ kind: "snapshot", snapshot: this.latestSnapshot }),
    };
  }
}

function section(title: string, lines: readonly string[]): readonly string[] {
  return lines.length === 0 ? [] : [title, ...lines];
}
