import { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex, MemberId } from "../../shared/base/ids.ts";
import type {
  Applied,
  Caller,
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
import type { Driver } from "./driver.ts";
import { FirstCampaign } from "./first-campaign.ts";
import type { LogCompaction } from "./log-compaction.ts";
import {
  listenToLoads,
  type MemberDeps,
  makeCompaction,
  makeMembershipChanger,
  makePeers,
  makeReceiver,
  makeRefused,
  makeSender,
  makeService,
  stopNow,
  stopWithoutEntries,
} from "./member-components.ts";
import { commitUnknown, haltError, notLeader, stateFull } from "./member-errors.ts";
import type { MembershipChanger } from "./membership-changer.ts";
import { durableMembership } from "./membership-state.ts";
import type { PeerService } from "./peer-service.ts";
import type { Peers } from "./peers.ts";
import { Proposals } from "./proposals.ts";
import { RaftLoop, TICKS_PER_HEARTBEAT } from "./raft-loop.ts";
import { Reads } from "./reads.ts";
import type { RefusedMessages } from "./refused-messages.ts";
import { SnapshotOffers } from "./snapshot-offers.ts";
import type { SnapshotReceiver } from "./snapshot-receiver.ts";
import type { SnapshotSender } from "./snapshot-sender.ts";
import { StatusTracker } from "./status-tracker.ts";
import { StorageWriter } from "./storage-writer.ts";
import { proposeQueued, startReads } from "./submit-requests.ts";

/**
 * One running member of the Raft group. Joins the Raft core with the components that carry out its
 * work: see "Inside a master: Member" in ARCHITECTURE.md.
 */
export class Member implements Driver {
  readonly service: PeerService;
  readonly #deps: MemberDeps;
  readonly #loop: RaftLoop;
  readonly #peers: Peers;
  readonly #writer: StorageWriter;
  readonly #applier: Applier;
  readonly #sender: SnapshotSender;
  readonly #receiver: SnapshotReceiver;
  readonly #offers = new SnapshotOffers();
  readonly #proposals: Proposals;
  readonly #reads: Reads;
  readonly #appliedWaiters = new AppliedWaiters();
  readonly #statusTracker: StatusTracker;
  readonly #membershipChanger: MembershipChanger;
  readonly #firstCampaign: FirstCampaign;
  readonly #compaction: LogCompaction;
  readonly #refused: RefusedMessages;
  readonly #stateListeners: Array<(machine: StateMachine) => void> = [];
  readonly #stallListeners: Array<(stalledMs: number) => void> = [];
  #leadership: Leadership;
  /** The error with which this member rejects all requests after it halted. Null while it runs. */
  #haltReason: AshlarError | null = null;
  #stopping: Promise<void> = Promise.resolve();
  #closing: Promise<void> | null = null;

  constructor(deps: MemberDeps) {
    this.#deps = deps;
    this.#leadership = deps.node.status();
    this.#proposals = new Proposals(deps.limits);
    this.#reads = new Reads({ retryAfterMs: deps.timing.electionTimeoutMsMin });
    const onFailure = (error: AshlarError): void => this.#fail(error);
    const onContradiction = (error: AshlarError): void => this.#failReads(error);
    const onLogLost = (error: AshlarError): void => this.#fail(error, stopWithoutEntries);
    this.#refused = makeRefused(deps, { onLogLost, onContradiction });
    const isFull = (): boolean => this.#applier.isFull;
    this.#statusTracker = new StatusTracker({ ...deps, refused: this.#refused, isFull });
    this.#loop = this.#makeLoop();
    const isRunning = (): boolean => this.#haltReason === null;
    const wake = (): void => this.#loop.wake();
    this.#firstCampaign = new FirstCampaign(deps, { isRunning, wake });
    this.#peers = makePeers(deps, { onConnected: () => this.#firstCampaign.repeat() });
    this.#sender = makeSender(deps, {
      onDamage: onFailure,
      onDone: (peer, outcome) => {
        if (this.#haltReason !== null) return;
        deps.node.reportSnapshot(peer, outcome);
        this.#loop.wake();
      },
    });
    this.#applier = this.#makeApplier();
    this.#writer = this.#makeWriter();
    this.#receiver = makeReceiver(deps, {
      isRunning,
      offer: (request) => {
        const outcome = this.#offers.offer(request.snapshot.index);
        if (this.#haltReason === null) this.#loop.deliver([request]);
        else this.#offers.refuseUnlessAccepted();
        return outcome;
      },
    });
    this.service = makeService(deps, {
      onDamage: onFailure,
      receiver: this.#receiver,
      deliver: (messages) => {
        if (this.#haltReason === null) this.#loop.deliver(messages);
      },
      onPeerAddress: (peer) => {
        this.#peers.notePeer(peer);
        this.#firstCampaign.repeat();
      },
    });
    this.#membershipChanger = this.#makeMembershipChanger();
    this.#compaction = makeCompaction(deps, { isRunning, sender: this.#sender, onFailure });
    listenToLoads(deps, { isRunning, wake, compaction: this.#compaction });
    this.#compaction.run();
    this.#loop.start();
    const started = this.#firstCampaign.start().then(() => this.service.deliverHeld());
    started.catch((error: unknown) => this.#fail(error as AshlarError));
  }

  get memberId(): MemberId {
    return this.#deps.own.memberId;
  }

  get stateMachine(): StateMachine {
    return this.#deps.holder.machine;
  }

  propose(command: Uint8Array): Promise<Applied> {
    if (this.#haltReason !== null) return Promise.reject(this.#haltReason);
    if (this.#applier.isFull) return Promise.reject(stateFull(this.#membershipChanger));
    const applied = this.#proposals.add(command);
    this.#loop.wake();
    return applied;
  }

  confirmRead(timeoutMs: number, caller?: Caller): Promise<LogIndex> {
    return this.#wait({ timeoutMs, caller }, (waiter) => {
      this.#reads.add(waiter);
      this.#loop.wake();
    });
  }

  waitApplied(index: LogIndex, timeoutMs: number, caller?: Caller): Promise<void> {
    const isApplied = this.stateMachine.appliedIndex >= index;
    if (isApplied && this.#refused.contradiction === null) return Promise.resolve();
    const begin = (waiter: Waiter): void => this.#appliedWaiters.add(index, waiter);
    return this.#wait({ timeoutMs, caller }, begin).then(() => {});
  }

  #wait(
    { timeoutMs, caller }: { readonly timeoutMs: number; readonly caller: Caller | undefined },
    begin: (waiter: Waiter) => void,
  ): Promise<LogIndex> {
    const refusal = this.#haltReason ?? this.#refused.contradiction;
    if (refusal !== null) return Promise.reject(refusal);
    const deadlineMs = this.#deps.options.env.clock.monotonicMs() + timeoutMs;
    return new Promise((resolve, reject) => begin({ deadlineMs, caller, resolve, reject }));
  }

  status(): ConsensusStatus {
    return this.#statusTracker.status();
  }

  membership(): MembershipStatus {
    return this.#membershipChanger.view();
  }

  changeMembers(change: MembershipChangeRequest): Promise<LogIndex> {
    return this.#membershipChanger.change(change);
  }

  transferLeadership(to: MemberId | null): Promise<MemberId> {
    return this.#membershipChanger.transfer(to);
  }

  onChange(listener: (status: ConsensusStatus) => void): void {
    this.#statusTracker.onChange(listener);
  }

  onStateMachine(listener: (machine: StateMachine) => void): void {
    this.#stateListeners.push(listener);
  }

  onStall(listener: (stalledMs: number) => void): void {
    this.#stallListeners.push(listener);
  }

  async prepareStop(): Promise<void> {
    const { clock } = this.#deps.options.env;
    if (this.#leadership.role === "leader" && this.#haltReason === null) {
      // If no successor takes over before the timeout, the other members hold an election.
      const handingOver = this.#membershipChanger.transfer(null).catch(() => {});
      await Promise.race([handingOver, clock.sleep(this.#deps.timing.electionTimeoutMsMin)]);
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

  /** Stops the components in an order in which none uses a closed one: the disk closes last. */
  async #close(): Promise<void> {
    const { storage, holder } = this.#deps;
    this.#halt(new AshlarError("UNAVAILABLE", "This member is stopping"));
    this.service.stop();
    await this.#peers.close();
    await this.#sender.cancelAll();
    await this.#writer.idle();
    await this.#stopping;
    await this.#deps.loaded.close();
    this.#offers.fail();
    await this.#receiver.close();
    await this.#applier.stop({ isStoreGood: storage.log.failure === null });
    await this.service.releaseState();
    await holder.close();
    await storage.log.close();
  }

  /** Stops the core and rejects all pending requests. The disk and the peers stay open. */
  #halt(reason: AshlarError): void {
    if (this.#haltReason !== null) return;
    this.#haltReason = reason;
    this.#loop.stop();
    const unknown = commitUnknown(reason.message);
    this.#proposals.failAll({ queued: reason, appended: unknown });
    this.#membershipChanger.fail(unknown);
    this.#failReads(reason);
    this.#offers.refuseUnlessAccepted();
    this.#statusTracker.halt();
  }

  /**
   * Halts this member after a failure of the disk or of the state. The core must not continue,
   * because it relies on writes that did not become durable. After NO_SPACE the member still serves
   * stale reads. After any other error the process must stop.
   */
  #fail(error: AshlarError, stop = stopNow): void {
    if (this.#closing !== null || this.#haltReason !== null) return;
    this.#deps.options.env.log.error("This member has halted", { error });
    this.#halt(haltError(error));
    this.#offers.fail();
    if (error.code !== "NO_SPACE") this.#stopping = stop(this.#deps, error);
  }

  #makeLoop(): RaftLoop {
    const { options, node, timing } = this.#deps;
    return new RaftLoop({
      clock: options.env.clock,
      node,
      tickMs: timing.heartbeatIntervalMs / TICKS_PER_HEARTBEAT,
      stallMs: timing.electionTimeoutMsMin / 2,
      deps: {
        submitRequests: () => {
          proposeQueued(node, this.#proposals, this.#statusTracker.leaderAddress);
          startReads(node, this.#reads, options.env.clock.monotonicMs());
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
        onViolation: (message, violation) => this.#refused.note(message, violation),
        onTurnEnd: () => {
          this.#peers.flush();
          this.#offers.refuseUnlessAccepted();
          this.#statusTracker.update();
        },
        isTicking: () => this.#deps.founding.isOpen,
        onTick: (nowMs) => {
          this.#deps.founding.onTick(nowMs);
          this.#reads.expire(nowMs);
          this.#appliedWaiters.expire(nowMs);
        },
        onStall: (stalledMs) => {
          options.env.log.warn("The event loop was blocked", { stalledMs: Math.round(stalledMs) });
          for (const listener of this.#stallListeners) listener(stalledMs);
        },
      },
    });
  }

  #failReads(error: AshlarError): void {
    this.#reads.failAll(error);
    this.#appliedWaiters.failAll(error);
  }

  /** Answers a confirmed read once the state machine has applied its index. */
  #releaseRead(readIndex: LogIndex, waiter: Waiter): void {
    if (this.stateMachine.appliedIndex >= readIndex) waiter.resolve(readIndex);
    else this.#appliedWaiters.add(readIndex, waiter);
  }

  /** Fails or repeats the pending requests that depended on the previous leader. */
  #onLeadership(leadership: Leadership): void {
    const before = this.#leadership;
    this.#leadership = leadership;
    this.#statusTracker.noteLeadership(leadership);
    const { role, term, leaderId } = leadership;
    this.#deps.options.env.log.info("Leadership changed", { role, term, leaderId });
    const wasLeader = before.role === "leader";
    if (wasLeader && (role !== "leader" || term !== before.term)) {
      const refused = notLeader(this.#statusTracker.leaderAddress);
      this.#proposals.failAll({ queued: refused, appended: commitUnknown("leadership was lost") });
      this.#reads.failAll(refused);
      this.#membershipChanger.fail(commitUnknown("leadership was lost"));
    } else if (leaderId !== before.leaderId && leaderId !== NO_MEMBER) {
      this.#reads.requeueAll();
    }
  }

  #send(messages: readonly PeerMessage[]): void {
    for (const message of messages) {
      if (message.kind === "snapshot-request") this.#sender.start(message.to, message.term);
      else this.#peers.queue(message);
    }
  }

  /** Delivers the replies of a durable append: to the core in its next turn, or to the peers now. */
  #deliverReplies(replies: readonly Message[]): void {
    const own: Message[] = [];
    for (const reply of replies) {
      if (reply.to === this.memberId) own.push(reply);
      else this.#peers.queue(reply as PeerMessage);
    }
    this.#peers.flush();
    if (own.length > 0) this.#loop.deliver(own);
  }

  #makeApplier(): Applier {
    const { options, timing, limits } = this.#deps;
    return new Applier({
      ...options.env,
      ...timing,
      ...limits,
      machine: () => this.stateMachine,
      membershipAfter: (entry) => this.#membershipAfter(entry),
      onApplied: (entry, outcome) => {
        this.#statusTracker.noteApplied(entry);
        this.#proposals.settle(entry, outcome);
        if (entry.kind !== "normal") this.#membershipChanger.noteApplied();
        this.#appliedWaiters.release(entry.index);
      },
      onBatch: (reply) => this.#loop.deliver([reply]),
      onFlushed: () => this.#compaction.run(),
      onFull: () => {
        this.#compaction.run(true);
        this.#membershipChanger.yieldLeadership();
      },
      onFailure: (error) => this.#fail(error),
    });
  }

  /** Applies a membership change to the core. @returns the membership record to store, or null */
  #membershipAfter(entry: Entry): Uint8Array | null {
    const { node, membershipState } = this.#deps;
    if (entry.index === 1) return membershipState.applyFounding(entry.data);
    if (entry.kind === "normal") return null;
    const change = decodeChange(entry);
    const stored = membershipState.applyChange(change, node.applyMembershipChange(change));
    this.#loop.wake();
    return stored;
  }

  #makeMembershipChanger(): MembershipChanger {
    const { membershipState } = this.#deps;
    membershipState.onChange(() => {
      this.#peers.setPeers(membershipState.peers);
      this.service.closeNonMemberStreams();
      this.#statusTracker.noteMembership();
    });
    return makeMembershipChanger(this.#deps, {
      proposals: this.#proposals,
      refused: this.#refused,
      wake: () => this.#loop.wake(),
      haltReason: () => this.#haltReason,
      isReady: () => this.#statusTracker.status().isReady,
      appliedIndex: () => this.stateMachine.appliedIndex,
    });
  }

  #makeWriter(): StorageWriter {
    const { storage } = this.#deps;
    return new StorageWriter({
      log: storage.log,
      installState: (snapshot) => this.#installState(snapshot),
      endLogReset: () => storage.states.endLogReset(),
      onInstalled: (snapshot) => {
        this.#deps.membershipState.replace(durableMembership(this.stateMachine));
        this.#applier.thaw();
        this.#appliedWaiters.releaseAll(snapshot.index);
        for (const listener of this.#stateListeners) listener(this.stateMachine);
        this.#offers.noteInstalled();
      },
      onDurable: (replies) => this.#deliverReplies(replies),
      onFailure: (error) => this.#fail(error),
    });
  }

  /** Replaces the state by a received snapshot. Until then all readers of the old state are stopped. */
  async #installState(snapshot: Snapshot): Promise<void> {
    await this.#applier.freeze();
    await this.#sender.cancelAll();
    await this.service.releaseState();
    await this.#receiver.install(snapshot);
  }
}
