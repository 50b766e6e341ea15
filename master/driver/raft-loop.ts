import type { Clock, Timer } from "../../shared/ports/clock.ts";
import type { Violation } from "../raft/check-message.ts";
import type { ReadState } from "../raft/core.ts";
import type { Message, PeerMessage, StorageAppend, StorageApply } from "../raft/messages.ts";
import type { Leadership, RaftNode } from "../raft/raft.ts";

/** Ticks of the core in one heartbeat interval. */
export const TICKS_PER_HEARTBEAT = 2;

/**
 * The components to which the loop hands the work of the core. They must not call the core
 * synchronously: they reply with `RaftLoop.deliver`.
 */
export interface LoopDeps {
  /**
   * Submits queued commands and reads to the core. Called once in each turn, after the messages.
   */
  readonly submitRequests: (node: RaftNode) => void;
  /** Called when the role, the term or the known leader has changed. */
  readonly onLeadership: (leadership: Leadership) => void;
  /** Queues messages that peers may receive before the write of this turn is durable. */
  readonly send: (messages: readonly PeerMessage[]) => void;
  /** Writes entries and the hard state, then delivers the replies of `append`. */
  readonly write: (append: StorageAppend) => void;
  /** Applies committed entries. With `next-turn`, the write of this turn comes before. */
  readonly apply: (batch: StorageApply, when: "now" | "next-turn") => void;
  /** Called when a ReadIndex round is confirmed. */
  readonly onReadState: (state: ReadState) => void;
  /** Called with a message that the core refuses. */
  readonly onViolation: (message: Message, violation: Violation) => void;
  /** Called when all work of this turn has been handed out. */
  readonly onTurnEnd: () => void;
  /** Whether time passes for the core. If not, it holds no election. */
  readonly isTicking: () => boolean;
  /** Called at each tick, to expire deadlines. */
  readonly onTick: (nowMs: number) => void;
  /** Called after the event loop was blocked for `stalledMs`. */
  readonly onStall: (stalledMs: number) => void;
}

/** Dependencies and settings of a RaftLoop. */
export interface LoopOptions {
  readonly clock: Clock;
  readonly node: RaftNode;
  /** Interval between two ticks of the core. */
  readonly tickMs: number;
  /** A tick that is later than this counts as a stall of the event loop. */
  readonly stallMs: number;
  readonly deps: LoopDeps;
}

/**
 * The loop that drives the Raft core. One turn steps all received messages and submits all queued
 * requests, then hands out the work of the core. A turn of the event loop is at most one turn of
 * this loop, so a burst of messages or commands costs one write and one message to each peer.
 */
export class RaftLoop {
  readonly #options: LoopOptions;
  #inbox: Message[] = [];
  #turning: Promise<void> | null = null;
  #timer: Timer | null = null;
  #tickDueMs = 0;
  #isStopped = false;

  constructor(options: LoopOptions) {
    this.#options = options;
  }

  /** Starts the tick timer and the first turn. */
  start(): void {
    this.#tickDueMs = this.#options.clock.monotonicMs();
    this.#setTimer();
    this.wake();
  }

  /** Queues messages for the core and starts a turn. */
  deliver(messages: readonly Message[]): void {
    for (const message of messages) this.#inbox.push(message);
    this.wake();
  }

  /** Schedules a turn, unless one is scheduled already. */
  wake(): void {
    if (this.#turning !== null || this.#isStopped) return;
    this.#turning = this.#options.clock.yieldTurn().then(() => this.#turn());
  }

  /** Stops the ticks. No further message is stepped, and no further turn runs. */
  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  #turn(): void {
    this.#turning = null;
    if (this.#isStopped) return;
    const { node, deps } = this.#options;
    this.#stepInbox();
    deps.submitRequests(node);
    // A component may reply synchronously with `deliver`, and the core may then have more work.
    while (node.hasReady() && !this.#isStopped) {
      this.#processReady();
      this.#stepInbox();
    }
    deps.onTurnEnd();
  }

  #stepInbox(): void {
    while (this.#inbox.length > 0) {
      const messages = this.#inbox;
      this.#inbox = [];
      for (const message of messages) {
        if (this.#isStopped) return;
        const result = this.#options.node.step(message);
        if (typeof result === "object") this.#options.deps.onViolation(message, result);
      }
    }
  }

  /** Hands out one `Ready`, in its order: messages that need no durability precede the write. */
  #processReady(): void {
    const { node, deps } = this.#options;
    const { leadership, messages, append, apply, readStates } = node.ready();
    if (leadership !== null) deps.onLeadership(leadership);
    if (messages.length > 0) deps.send(messages);
    if (append !== null) deps.write(append);
    // If there are entries to write, applying waits: the followers and the commit depend on the
    // write.
    const isIdle = append === null || append.entries.length === 0;
    if (apply !== null) deps.apply(apply, isIdle ? "now" : "next-turn");
    for (const state of readStates) deps.onReadState(state);
  }

  #setTimer(): void {
    const { clock, tickMs } = this.#options;
    const nowMs = clock.monotonicMs();
    // The rate is fixed, but missed ticks are not repeated: while the event loop was blocked, the
    // member could not receive the heartbeats of its leader.
    this.#tickDueMs = Math.max(this.#tickDueMs + tickMs, nowMs);
    this.#timer = clock.after(this.#tickDueMs - nowMs, () => this.#tick());
  }

  #tick(): void {
    const { clock, node, stallMs, deps } = this.#options;
    if (this.#isStopped) return;
    const nowMs = clock.monotonicMs();
    const lateMs = nowMs - this.#tickDueMs;
    this.#setTimer();
    if (lateMs > stallMs) deps.onStall(lateMs);
    // After a stall, process the received messages before the tick: they may contain a heartbeat.
    if (lateMs > stallMs) this.wake();
    else if (deps.isTicking()) node.tick();
    deps.onTick(nowMs);
    this.wake();
  }
}
