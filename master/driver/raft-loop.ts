import type { Clock, Timer } from "../../shared/ports/clock.ts";
import type { ReadState } from "../raft/core.ts";
import type { Message, PeerMessage, StorageAppend, StorageApply } from "../raft/messages.ts";
import type { Leadership, RaftNode } from "../raft/raft.ts";

/** Peers and queues that the core's work goes to. None of them may call the core back at once. */
export interface LoopDeps {
  /** Puts what clients want into the core: once in each turn, after the messages. */
  readonly submitRequests: (node: RaftNode) => void;
  readonly onLeadership: (leadership: Leadership) => void;
  readonly send: (messages: readonly PeerMessage[]) => void;
  readonly write: (append: StorageAppend) => void;
  /** May wait for the next turn where entries are to be written: these others wait for. */
  readonly apply: (batch: StorageApply, when: "now" | "next-turn") => void;
  readonly onReadState: (state: ReadState) => void;
  /** Everything that came up in this turn is under way. */
  readonly onTurnEnd: () => void;
  readonly onTick: (nowMs: number) => void;
  /** The event loop stood still for so long. */
  readonly onStall: (stalledMs: number) => void;
}

export interface LoopOptions {
  readonly clock: Clock;
  readonly node: RaftNode;
  readonly tickMs: number;
  /** A tick that is later than this is a stall. */
  readonly stallMs: number;
  readonly deps: LoopDeps;
}

/**
 * The loop around the core: everything that has come since the last turn goes in, then all that is
 * to be done goes out. One turn of the event loop is one turn of this one, so a burst of messages
 * or commands costs one write and one message to each peer.
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

  start(): void {
    this.#tickDueMs = this.#options.clock.monotonicMs();
    this.#setTimer();
    this.wake();
  }

  /** For the core, in the next turn. */
  deliver(messages: readonly Message[]): void {
    for (const message of messages) this.#inbox.push(message);
    this.wake();
  }

  /** There is something to do for the next turn. */
  wake(): void {
    if (this.#turning !== null || this.#isStopped) return;
    this.#turning = this.#options.clock.yieldTurn().then(() => this.#turn());
  }

  /** No turn begins any more. */
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
    // What is applied and written at once answers at once.
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
      for (const message of messages) this.#options.node.step(message);
    }
  }

  /** In the order of `Ready`: messages that promise nothing leave before anything is written. */
  #processReady(): void {
    const { node, deps } = this.#options;
    const { leadership, messages, append, apply, readStates } = node.ready();
    if (leadership !== null) deps.onLeadership(leadership);
    if (messages.length > 0) deps.send(messages);
    if (append !== null) deps.write(append);
    // What others wait for first: the entries on their way, and on the disk.
    const isIdle = append === null || append.entries.length === 0;
    if (apply !== null) deps.apply(apply, isIdle ? "now" : "next-turn");
    for (const state of readStates) deps.onReadState(state);
  }

  #setTimer(): void {
    const { clock, tickMs } = this.#options;
    const nowMs = clock.monotonicMs();
    // A fixed rate; but ticks that were missed are not made up for: a member that stood still has
    // not waited for its leader all that time.
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
    // What came in during a stall is heard before time passes: the leader may have spoken.
    if (lateMs > stallMs) this.wake();
    else node.tick();
    deps.onTick(nowMs);
    this.wake();
  }
}
