import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { LogIndex, MemberId, Term } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Log } from "../../shared/ports/log.ts";
import { raftSnapshot, type SnapshotReply } from "../../shared/protocol/raft-api.ts";
import type { Connection, Received } from "../../shared/wire/rpc.ts";
import type { StateMachine, StateSnapshot } from "../state-machine.ts";
import { GuardedStream } from "./guarded-stream.ts";
import { decodeRanges, type HeldRange } from "./held-ranges.ts";
import { connectToPeer, envelopeTo, type HandshakeOptions } from "./peer-handshake.ts";
import {
  type PartsSettings,
  type RowCounts,
  type SnapshotHead,
  sendParts,
} from "./snapshot-parts.ts";

/** Timeout of a whole transfer, in milliseconds. The stall timeout detects a dead peer earlier. */
const STREAM_LIFETIME_MS = 24 * 60 * 60 * 1_000;
/**
 * Number of `keep` and `drop` messages that the peer may still have to process. So the peer is not behind by
 * more than these when the sender waits for it, and the stall timeout applies to a bounded amount of work.
 */
const UNANSWERED_MAX = 16;

/** Dependencies and settings of a SnapshotSender. */
export interface SnapshotSenderOptions
  extends Omit<HandshakeOptions, "signal" | "peer">,
    PartsSettings {
  readonly clock: Clock;
  readonly log: Log;
  readonly machine: () => StateMachine;
  /** Returns the address of a member, or null if it is not known. */
  readonly addressOf: (member: MemberId) => string | null;
  readonly stallMs: number;
  /** Called when a transfer has ended. */
  readonly onDone: (peer: MemberId, outcome: "delivered" | "failed") => void;
}

/** The receiver of a transfer. */
interface Destination {
  readonly peer: MemberId;
  readonly leaderTerm: Term;
  readonly signal: AbortSignal;
  /** Whether the peer has rows of an earlier transfer. */
  readonly holdsRows: boolean;
}

/** A transfer in progress. */
interface Sending {
  readonly aborting: AbortController;
  /** Index of the sent state. Null until the state is opened. */
  index: LogIndex | null;
  readonly done: Promise<void>;
}

/**
 * Sends the state to followers whose log ends before the log of this member begins. At most one
 * transfer runs for each follower. After an interruption nothing is kept here: the follower keeps the
 * rows that it has received, and the next transfer sends what differs from the current state.
 */
export class SnapshotSender {
  readonly #options: SnapshotSenderOptions;
  readonly #sendings = new Map<MemberId, Sending>();

  constructor(options: SnapshotSenderOptions) {
    this.#options = options;
  }

  /**
   * The smallest index of a state that is being sent: its receiver needs the log from that index on.
   * Infinity if there is none.
   */
  get oldestIndex(): number {
    const sent = [...this.#sendings.values()].map((sending) => sending.index);
    return Math.min(Number.POSITIVE_INFINITY, ...sent.filter((index) => index !== null));
  }

  /** Starts a transfer to `peer`, unless one is running. Reports the end with `onDone`. */
  start(peer: MemberId, leaderTerm: Term): void {
    if (this.#sendings.has(peer)) return;
    const aborting = new AbortController();
    const sending: Sending = {
      aborting,
      index: null,
      done: Promise.resolve().then(() => this.#send(peer, leaderTerm, sending)),
    };
    this.#sendings.set(peer, sending);
  }

  /**
   * Aborts the transfers of states before `index`, which hold too much of the log. The next transfers send a
   * later state, and keep the rows that have arrived.
   */
  abandonBefore(index: LogIndex): void {
    for (const { aborting, index: sentIndex } of this.#sendings.values()) {
      if (sentIndex === null || sentIndex >= index) continue;
      aborting.abort(
        new AshlarError(
          "CANCELLED",
          `The transfer of the state at index ${sentIndex} was cancelled: the log since then takes too much space`,
        ),
      );
    }
  }

  /** Aborts all transfers. Resolves when no state is pinned. */
  async cancelAll(): Promise<void> {
    const sendings = [...this.#sendings.values()];
    const reason = new AshlarError("CANCELLED", "The snapshot transfer was cancelled");
    for (const sending of sendings) sending.aborting.abort(reason);
    await Promise.all(sendings.map((sending) => sending.done));
  }

  async #send(peer: MemberId, leaderTerm: Term, sending: Sending): Promise<void> {
    const { log, clock, onDone } = this.#options;
    const startedMs = clock.monotonicMs();
    let outcome: "delivered" | "failed" = "failed";
    try {
      const sent = await this.#connectAndSend(peer, leaderTerm, sending);
      outcome = "delivered";
      const durationMs = Math.round(clock.monotonicMs() - startedMs);
      log.info("A peer installed a snapshot", { peer, ...sent, durationMs });
    } catch (error) {
      if (!isAshlarError(error)) throw error;
      const { signal } = sending.aborting;
      const reason: unknown = signal.aborted ? signal.reason : error;
      log.warn("Cannot send a snapshot", { peer, error: reason });
    }
    this.#sendings.delete(peer);
    onDone(peer, outcome);
  }

  /** Resolves when the peer has installed the state. */
  async #connectAndSend(
    peer: MemberId,
    leaderTerm: Term,
    sending: Sending,
  ): Promise<RowCounts & { readonly index: LogIndex }> {
    const { addressOf } = this.#options;
    const address = addressOf(peer);
    if (address === null) {
      throw new AshlarError(
        "UNAVAILABLE",
        `Cannot connect to member ${peer}: its address is not known`,
      );
    }
    const { signal } = sending.aborting;
    let holdsRows = false;
    const connection = await connectToPeer({
      ...this.#options,
      peer: { id: peer, address },
      signal,
      onHandshake: (reply) => {
        holdsRows = reply.holdsSnapshotRows;
      },
    });
    try {
      signal.throwIfAborted();
      const snapshot = this.#options.machine().openSnapshot();
      try {
        const { index } = snapshot;
        sending.index = index;
        const to = { peer, leaderTerm, signal, holdsRows };
        return { index, ...(await this.#stream(connection, snapshot, to)) };
      } finally {
        snapshot.release();
      }
    } finally {
      await connection.close(0);
    }
  }

  async #stream(
    connection: Connection,
    snapshot: StateSnapshot,
    to: Destination,
  ): Promise<RowCounts> {
    const { own } = this.#options;
    const { index, term, membership } = snapshot;
    const open = {
      ...envelopeTo(own, to.peer),
      index,
      term,
      leaderTerm: to.leaderTerm,
      membership,
      resumes: to.holdsRows,
    };
    const stream = connection.open(raftSnapshot, open, {
      timeoutMs: STREAM_LIFETIME_MS,
      signal: to.signal,
    });
    const guarded = new GuardedStream(stream, this.#options);
    const transfer = new OutgoingTransfer(guarded, to.signal);
    const ranges = to.holdsRows ? await transfer.receiveRanges() : [];
    const { clock } = this.#options;
    const counts = await sendParts(
      snapshot,
      { ...this.#options, turn: () => clock.yieldTurn() },
      (head, body) => transfer.send(head, body),
      {
        ranges,
        keep: (range) => transfer.sendCounted({ kind: "keep", range }),
        drop: (range) => transfer.sendCounted({ kind: "drop", range }),
      },
    );
    await transfer.waitInstalled();
    stream.end();
    return counts;
  }
}

/** The messages of one transfer, at the sender. */
class OutgoingTransfer {
  readonly #stream: GuardedStream<SnapshotHead, SnapshotReply>;
  readonly #signal: AbortSignal;
  /** Number of sent `keep` and `drop` messages without an answer. */
  #unansweredCount = 0;

  constructor(stream: GuardedStream<SnapshotHead, SnapshotReply>, signal: AbortSignal) {
    this.#stream = stream;
    this.#signal = signal;
  }

  async send(head: SnapshotHead, body?: Uint8Array): Promise<void> {
    this.#signal.throwIfAborted();
    await this.#stream.send(head, body);
  }

  /** Returns the ranges that the peer has. */
  async receiveRanges(): Promise<readonly HeldRange[]> {
    const ranges: HeldRange[] = [];
    for (;;) {
      const { head, body, release } = await this.#receive("held");
      try {
        const count = ranges.length;
        decodeRanges(body, ranges);
        if (head.isLast) return ranges;
        if (ranges.length === count) throw unexpected("a page without ranges");
      } finally {
        release();
      }
    }
  }

  /** Sends a message that the peer answers. Waits first if the peer is behind. */
  async sendCounted(head: SnapshotHead): Promise<void> {
    if (this.#unansweredCount >= UNANSWERED_MAX) await this.#receiveKept();
    this.#unansweredCount += 1;
    await this.send(head);
  }

  /** Resolves when the peer has installed the snapshot. */
  async waitInstalled(): Promise<void> {
    while (this.#unansweredCount > 0) await this.#receiveKept();
    const { release } = await this.#receive("installed");
    release();
  }

  async #receiveKept(): Promise<void> {
    const { release } = await this.#receive("kept");
    release();
    this.#unansweredCount -= 1;
  }

  async #receive<Kind extends SnapshotReply["kind"]>(
    kind: Kind,
  ): Promise<Received<Extract<SnapshotReply, { kind: Kind }>>> {
    const reply = await this.#stream.receive();
    if (reply === null) {
      throw new AshlarError(
        "CONNECTION_LOST",
        "Cannot send a snapshot: the peer ended the stream without a reply",
      );
    }
    const { head, body } = reply;
    const release = (): void => reply.release();
    if (isKind(head, kind)) return { head, body, release };
    release();
    throw unexpected(`a message of kind ${head.kind}, expected ${kind}`);
  }
}

function isKind<Kind extends SnapshotReply["kind"]>(
  head: SnapshotReply,
  kind: Kind,
): head is Extract<SnapshotReply, { kind: Kind }> {
  return head.kind === kind;
}

function unexpected(what: string): AshlarError {
  return new AshlarError("PROTOCOL_ERROR", `Cannot send a snapshot: the peer sent ${what}`);
}
