import type { Core } from "../../../master/raft/core.ts";
import { createCore } from "../../../master/raft/core.ts";
import type {
  Entry,
  HardState,
  Message,
  PeerMessage,
  Snapshot,
  StorageAppend,
} from "../../../master/raft/messages.ts";
import type { RaftOptions } from "../../../master/raft/options.ts";
import { RaftNode } from "../../../master/raft/raft.ts";
import type { LogIndex, MemberId, Term } from "../../../shared/base/ids.ts";
import { EMPTY_MEMBERSHIP, MemoryStorage } from "../../support/raft-memory-storage.ts";

export const id = (value: number) => value as MemberId;
export const index = (value: number) => value as LogIndex;
export const term = (value: number) => value as Term;

export function at(entryTerm: number, entryIndex: number): { index: LogIndex; term: Term } {
  return { index: index(entryIndex), term: term(entryTerm) };
}

export function entry(entryTerm: number, entryIndex: number, text = ""): Entry {
  return { ...at(entryTerm, entryIndex), kind: "normal", data: new TextEncoder().encode(text) };
}

export function snapshotAt(
  entryTerm: number,
  entryIndex: number,
  voters: readonly number[],
): Snapshot {
  const membership = { ...EMPTY_MEMBERSHIP, voters: voters.map(id) };
  return { ...at(entryTerm, entryIndex), membership, data: new Uint8Array(0) };
}

/** A node with access to its core and its storage. */
export interface TestNode {
  readonly core: Core;
  readonly node: RaftNode;
  readonly storage: MemoryStorage;
}

/** Options of `testNode`; all have defaults. */
export interface TestNodeOptions extends Partial<RaftOptions> {
  readonly self?: number;
  readonly voters?: readonly number[];
  readonly entries?: readonly Entry[];
  readonly hardState?: HardState;
}

/** Creates member 1 of 1, 2 and 3 by default, after a snapshot at index 1 of term 1. */
export function testNode(options: TestNodeOptions = {}): TestNode {
  const { self = 1, voters = [1, 2, 3], entries = [], hardState = null, ...settings } = options;
  const storage = new MemoryStorage();
  storage.write({ snapshot: snapshotAt(1, 1, voters), entries, hardState });
  const core = createCore({
    storage,
    random: () => 0,
    preVote: false,
    checkQuorum: false,
    ...settings,
    id: id(self),
  });
  return { core, node: new RaftNode(core), storage };
}

/**
 * Performs all pending work of `test` immediately: writes, replies and applies.
 *
 * @returns the messages to other members.
 */
export function settle(test: TestNode): readonly PeerMessage[] {
  const sent: PeerMessage[] = [];
  while (test.node.hasReady()) {
    const { messages, append, apply } = test.node.ready();
    sent.push(...messages);
    if (append !== null) sent.push(...complete(test, append));
    if (apply !== null) test.node.step(apply.reply);
  }
  return sent;
}

/** Makes `append` durable. @returns its replies to other members. */
export function complete(test: TestNode, append: StorageAppend): readonly PeerMessage[] {
  test.storage.write(append);
  const isPeer = (reply: Message): reply is PeerMessage => "from" in reply;
  for (const reply of append.replies) if (reply.to === test.core.id) test.node.step(reply);
  return append.replies.filter(isPeer).filter((reply) => reply.to !== test.core.id);
}

/** Makes `test` the leader of the next term; all members acknowledge its first entry. */
export function elect(test: TestNode): void {
  test.node.campaign();
  settle(test);
  const { core, node } = test;
  for (const voter of [...core.membership.voters]) {
    if (voter === core.id) continue;
    const message = { from: voter, to: core.id, term: core.term };
    node.step({ ...message, kind: "vote-reply", granted: true });
  }
  settle(test);
  acknowledgeAll(test);
}

/** Acknowledges the whole log in the name of all other voters. */
export function acknowledgeAll(test: TestNode): void {
  const { core, node } = test;
  const matchIndex = core.log.lastIndex();
  for (const voter of [...core.membership.voters]) {
    if (voter === core.id) continue;
    node.step({ kind: "append-accepted", from: voter, to: core.id, term: core.term, matchIndex });
  }
  settle(test);
}

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
