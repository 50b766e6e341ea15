import { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex, MemberId } from "../../shared/base/ids.ts";
import type {
  Applied,
  ConsensusStatus,
  MembershipChangeRequest,
  MembershipStatus,
} from "../consensus.ts";
import { decodeChange } from "../raft/membership-change.ts";
import type { Entry, Message, PeerMessage, Snapshot } from "../raft/messages.ts";
import { NO_MEMBER } from "../raft/messages.ts";
import type { Leadership } from "../raft/raft.ts";
import type { StateMachine } from "../state-machine.ts";
import { AppliedWaiters, type Waiter } from "./applied-waiters.ts";
import { Applier } from "./applier.ts";
import { compactionPoint } from "./compaction.ts";
import type { Driver } from "./driver.ts";
import {
  type MemberParts,
  makeChanges,
  makePeers,
  makeReceiver,
  makeSender,
  makeService,
} from "./member-components.ts";
import { commitUnknown, haltReason, notLeader } from "./member-errors.ts";
import type { MemberChanges } from "./membership-changer.ts";
import { storedMembership } from "./membership-state.ts";
import type { PeerService } from "./peer-service.ts";
import type { Peers } from "./peers.ts";
import { Proposals } from "./proposals.ts";
import { RaftLoop } from "./raft-loop.ts";
import { Reads } from "./reads.ts";
import { SnapshotOffers } from "./snapshot-offers.ts";
import type { SnapshotReceiver } from "./snapshot-receiver.ts";
import type { SnapshotSender } from "./snapshot-sender.ts";
import { StatusBoard } from "./status-tracker.ts";
import { StorageWriter } from "./storage-writer.ts";
import { beginWaiting, placeQueued } from "./submit-requests.ts";

/** Ticks of the core in one heartbeat interval. */
export const TICKS_PER_HEARTBEAT = 2;

/** One member of the group: the core and everything that does what it says. */
export class Member implements Driver {
  readonly service: PeerService;
  readonly #parts: MemberParts;
  readonly #loop: RaftLoop;
  readonly #peers: Peers;
  readonly #writer: StorageWriter;
  readonly #applier: Applier;
  readonly #sender: SnapshotSender;
  readonly #receiver: SnapshotReceiver;
  readonly #offers = new SnapshotOffers();
  readonly #proposals: Proposals;
  readonly #reads: Reads;
  readonly #waiters = new AppliedWaiters();
  readonly #board: StatusBoard;
  readonly #changes: MemberChanges;
  readonly #stateListeners: Array<(machine: StateMachine) => void> = [];
  readonly #stallListeners: Array<(stalledMs: number) => void> = [];
  #leadership: Leadership;
  /** Why nothing is taken any more. */
  #halted: AshlarError | null = null;
  #closing: Promise<void> | null = null;

  constructor(parts: MemberParts) {
    this.#parts = parts;
    const { limits, timing } = parts;
    this.#leadership = parts.node.status();
    this.#proposals = new Proposals({
      countMax: limits.proposalsMax,
      bytesMax: limits.proposalBytesMax,
    });
    this.#reads = new Reads({ retryAfterMs: timing.electionTimeoutMsMin });
    this.#board = new StatusBoard({
      node: parts.node,
      group: parts.group,
      appliedIndex: () => this.stateMachine.appliedIndex,
    });
    this.#loop = this.#makeLoop();
    this.#peers = makePeers(parts);
    const onDamage = (error: AshlarError): void => this.#fail(error);
    this.#sender = makeSender(parts, {
      onDamage,
      onDone: (peer, outcome) => {
        if (this.#halted !== null) return;
        parts.node.reportSnapshot(peer, outcome);
        this.#loop.wake();
      },
    });
    this.#applier = this.#makeApplier();
    this.#writer = this.#makeWriter();
    this.#receiver = makeReceiver(parts, {
      isListening: () => this.#halted === null,
      offer: (request) => {
        const outcome = this.#offers.offer(request.snapshot.index);
        if (this.#halted === null) this.#loop.deliver([request]);
        else this.#offers.refuseUnlessAccepted();
        return outcome;
      },
    });
    this.service = makeService(parts, {
      onDamage,
      receiver: this.#receiver,
      deliver: (messages) => {
        if (this.#halted === null) this.#loop.deliver(messages);
      },
      onMet: (peer) => this.#peers.met(peer),
    });
    this.#changes = this.#makeChanges();
    this.#loop.start();
  }

  get memberId(): MemberId {
    return this.#parts.own.memberId;
  }

  get stateMachine(): StateMachine {
    return this.#parts.holder.machine;
  }

  propose(command: Uint8Array): Promise<Applied> {
    if (this.#halted !== null) return Promise.reject(this.#halted);
    if (this.#applier.isFull) {
      const message = "Cannot propose a command: the disk of this leader is full";
      return Promise.reject(new AshlarError("NO_SPACE", message));
    }
    const applied = this.#proposals.add(command);
    this.#loop.wake();
    return applied;
  }

  confirmRead(timeoutMs: number): Promise<LogIndex> {
    return this.#wait(timeoutMs, (waiter) => {
      this.#reads.add(waiter);
      this.#loop.wake();
    });
  }

  waitApplied(index: LogIndex, timeoutMs: number): Promise<void> {
    if (this.stateMachine.appliedIndex >= index) return Promise.resolve();
    return this.#wait(timeoutMs, (waiter) => this.#waiters.add(index, waiter)).then(() => {});
  }

  #wait(timeoutMs: number, begin: (waiter: Waiter) => void): Promise<LogIndex> {
    if (this.#halted !== null) return Promise.reject(this.#halted);
    const deadlineMs = this.#parts.options.env.clock.monotonicMs() + timeoutMs;
    return new Promise((resolve, reject) => begin({ deadlineMs, resolve, reject }));
  }

  status(): ConsensusStatus {
    return this.#board.status();
  }

  membership(): MembershipStatus {
    return this.#changes.view();
  }

  changeMembers(change: MembershipChangeRequest): Promise<LogIndex> {
    return this.#changes.change(change);
  }

  transferLeadership(to: MemberId | null): Promise<MemberId> {
    return this.#changes.transfer(to);
  }

  onChange(listener: (status: ConsensusStatus) => void): void {
    this.#board.onChange(listener);
  }

  onStateMachine(listener: (machine: StateMachine) => void): void {
    this.#stateListeners.push(listener);
  }

  onStall(listener: (stalledMs: number) => void): void {
    this.#stallListeners.push(listener);
  }

  async prepareStop(): Promise<void> {
    const { clock } = this.#parts.options.env;
    const isLeading = this.#leadership.role === "leader" && this.#halted === null;
    if (isLeading) {
      // Without an heir, or one that is too slow, the others elect somebody.
      const handingOver = this.#changes.transfer(null).catch(() => {});
      await Promise.race([handingOver, clock.sleep(this.#parts.timing.electionTimeoutMsMin)]);
    }
    this.service.stop();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const { storage, holder } = this.#parts;
    this.#halt(new AshlarError("UNAVAILABLE", "This member stops"));
    this.service.stop();
    await this.#peers.close();
    await this.#sender.cancelAll();
    await this.#writer.idle();
    this.#offers.giveUp();
    await this.#receiver.close();
    await this.#applier.stop({ isStoreGood: storage.log.failure === null });
    await this.service.releaseState();
    await holder.close();
    await storage.log.close();
  }

  /** Nothing goes into the core from here on; who waits is told. */
  #halt(reason: AshlarError): void {
    if (this.#halted !== null) return;
    this.#halted = reason;
    this.#loop.stop();
    const unknown = commitUnknown(reason.message);
    this.#proposals.failAll({ queued: reason, placed: unknown });
    this.#changes.fail(unknown);
    this.#reads.failAll(reason);
    this.#waiters.failAll(reason);
    this.#offers.refuseUnlessAccepted();
    this.#board.halt();
  }

  /**
   * The disk failed, or the state cannot go on. What was promised to the core is not durable, so the
   * core must not go on. A full disk leaves a member that answers stale reads; any other failure
   * ends the process.
   */
  #fail(error: AshlarError): void {
    if (this.#closing !== null || this.#halted !== null) return;
    const { options } = this.#parts;
    options.env.log.error("This member takes part no longer", { error });
    this.#halt(haltReason(error));
    this.#offers.giveUp();
    if (error.code !== "NO_SPACE") options.onFatal(error);
  }

  #makeLoop(): RaftLoop {
    const { options, node, timing } = this.#parts;
    const { clock } = options.env;
    return new RaftLoop({
      clock,
      node,
      tickMs: timing.heartbeatIntervalMs / TICKS_PER_HEARTBEAT,
      stallMs: timing.electionTimeoutMsMin / 2,
      effects: {
        gather: () => {
          placeQueued(node, this.#proposals, this.#board.leaderAddress);
          beginWaiting(node, this.#reads, clock.monotonicMs());
        },
        onLeadership: (leadership) => this.#onLeadership(leadership),
        send: (messages) => this.#send(messages),
        write: (append) => {
          if (append.snapshot !== null) this.#offers.accept(append.snapshot.index);
          this.#writer.write(append);
        },
        apply: (batch, when) => this.#applier.enqueue(batch, when),
        onReadState: ({ readId, readIndex }) => {
          for (const waiter of this.#reads.answer(readId)) this.#releaseRead(readIndex, waiter);
        },
        onTurnEnd: () => {
          this.#peers.flush();
          this.#offers.refuseUnlessAccepted();
          this.#board.update();
        },
        onTick: (nowMs) => {
          this.#reads.expire(nowMs);
          this.#waiters.expire(nowMs);
        },
        onStall: (stalledMs) => {
          options.env.log.warn("The event loop stood still", { stalledMs: Math.round(stalledMs) });
          for (const listener of this.#stallListeners) listener(stalledMs);
        },
      },
    });
  }

  #releaseRead(readIndex: LogIndex, waiter: Waiter): void {
    if (this.stateMachine.appliedIndex >= readIndex) waiter.resolve(readIndex);
    else this.#waiters.add(readIndex, waiter);
  }

  #onLeadership(leadership: Leadership): void {
    const before = this.#leadership;
    this.#leadership = leadership;
    this.#board.noteLeadership(leadership);
    const { role, term, leaderId } = leadership;
    this.#parts.options.env.log.info("Leadership changed", { role, term, leaderId });
    const wasLeader = before.role === "leader";
    if (wasLeader && (role !== "leader" || term !== before.term)) {
      const moved = notLeader(this.#board.leaderAddress);
      this.#proposals.failAll({ queued: moved, placed: commitUnknown("leadership was lost") });
      this.#reads.failAll(moved);
      this.#changes.fail(commitUnknown("leadership was lost"));
    } else if (leaderId !== before.leaderId && leaderId !== NO_MEMBER) {
      this.#reads.restart();
    }
  }

  #send(messages: readonly PeerMessage[]): void {
    for (const message of messages) {
      if (message.kind === "snapshot-request") this.#sender.start(message.to, message.term);
      else this.#peers.queue(message);
    }
  }

  /** What is durable or applied may be told: to the core in its next turn, to peers now. */
  #release(replies: readonly Message[]): void {
    const own: Message[] = [];
    for (const reply of replies) {
      if (reply.to === this.memberId) own.push(reply);
      else this.#peers.queue(reply as PeerMessage);
    }
    this.#peers.flush();
    if (own.length > 0) this.#loop.deliver(own);
  }

  #makeApplier(): Applier {
    const { options, timing, limits } = this.#parts;
    return new Applier({
      ...options.env,
      ...timing,
      ...limits,
      machine: () => this.stateMachine,
      membershipAfter: (entry) => this.#membershipAfter(entry),
      onApplied: (entry, outcome) => {
        this.#board.noteApplied(entry);
        this.#proposals.settle(entry, outcome);
        if (entry.kind !== "normal") this.#changes.noteApplied();
        this.#waiters.release(entry.index);
      },
      onBatch: (reply) => this.#loop.deliver([reply]),
      onFlushed: () => this.#compact(),
      onFull: () => this.#changes.standAside(),
      onFailure: (error) => this.#fail(error),
    });
  }

  #membershipAfter(entry: Entry): Uint8Array | null {
    const { node, group } = this.#parts;
    if (entry.kind === "normal") return entry.index === 1 ? group.founded() : null;
    const change = decodeChange(entry);
    const stored = group.changed(change, node.applyMembershipChange(change));
    this.#loop.wake();
    return stored;
  }

  #makeChanges(): MemberChanges {
    const { group } = this.#parts;
    group.onChange(() => {
      this.#peers.follow(group.peers);
      this.service.membersChanged();
      this.#board.noteMembership();
    });
    return makeChanges(this.#parts, {
      proposals: this.#proposals,
      wake: () => this.#loop.wake(),
      halted: () => this.#halted,
      isReady: () => this.#board.status().isReady,
      stateIndex: () => this.stateMachine.appliedIndex,
    });
  }

  /** Forgets the log that neither a restart nor a slow follower needs, in large steps. */
  #compact(): void {
    if (this.#halted !== null) return;
    const { storage, limits } = this.#parts;
    const durableIndex = this.stateMachine.durable.index;
    const sendingIndex = this.#sender.oldestIndex;
    const start = compactionPoint(storage.log, limits, { durableIndex, sendingIndex });
    if (start === null) return;
    storage.log.compactTo(start).catch((error: AshlarError) => this.#fail(error));
  }

  #makeWriter(): StorageWriter {
    const { storage } = this.#parts;
    return new StorageWriter({
      log: storage.log,
      installState: (snapshot) => this.#installState(snapshot),
      onInstalled: (snapshot) => {
        this.#parts.group.installed(storedMembership(this.stateMachine));
        this.#applier.thaw();
        this.#waiters.release(snapshot.index);
        for (const listener of this.#stateListeners) listener(this.stateMachine);
        this.#offers.noteInstalled();
      },
      onDurable: (replies) => this.#release(replies),
      onFailure: (error) => this.#fail(error),
    });
  }

  async #installState(snapshot: Snapshot): Promise<void> {
    await this.#applier.freeze();
    await this.#sender.cancelAll();
    await this.service.releaseState();
    await this.#receiver.install(snapshot);
  }
}
