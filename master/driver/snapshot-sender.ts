import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { LogIndex, MemberId, Term } from "../../shared/base/ids.ts";
import type { Timer } from "../../shared/ports/clock.ts";
import type { Log } from "../../shared/ports/log.ts";
import { raftSnapshot } from "../../shared/protocol/raft-api.ts";
import type { Connection } from "../../shared/wire/rpc.ts";
import type { StateMachine, StateSnapshot } from "../state-machine.ts";
import { connectToPeer, envelopeTo, type HandshakeOptions } from "./peer-handshake.ts";
import {
  type PartialSnapshot,
  RESUME_WITHIN_MS,
  type SendPartsOptions,
  type SnapshotHead,
  sendParts,
} from "./snapshot-parts.ts";
import { withStallTimeout } from "./stall-timeout.ts";

/** Timeout of a whole transfer, in milliseconds. The stall timeout detects a dead peer earlier. */
const STREAM_LIFETIME_MS = 60 * 60 * 1_000;

/** Dependencies and settings of a SnapshotSender. */
export interface SnapshotSenderOptions
  extends Omit<HandshakeOptions, "signal" | "peer">,
    SendPartsOptions {
  readonly log: Log;
  readonly machine: () => StateMachine;
  /** Returns the address of a member, or null if it is not known. */
  readonly addressOf: (member: MemberId) => string | null;
  readonly stallMs: number;
  /** Called when a transfer has ended. */
  readonly onDone: (peer: MemberId, outcome: "delivered" | "failed") => void;
}

/** The pinned state of an interrupted transfer. */
interface KeptSnapshot {
  readonly snapshot: StateSnapshot;
  /** Releases the snapshot. */
  readonly timer: Timer;
}

/** The receiver of a transfer. */
interface Destination {
  readonly peer: MemberId;
  readonly leaderTerm: Term;
  readonly signal: AbortSignal;
  /** Number of first rows that the peer already has. */
  readonly skippedCount: number;
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
 * transfer runs for each follower. After an interruption the state stays pinned for RESUME_WITHIN_MS,
 * so that the next attempt resumes the transfer.
 */
export class SnapshotSender {
  readonly #options: SnapshotSenderOptions;
  readonly #sendings = new Map<MemberId, Sending>();
  readonly #kept = new Map<MemberId, KeptSnapshot>();

  constructor(options: SnapshotSenderOptions) {
    this.#options = options;
  }

  /**
   * The smallest index of a state that is being sent or kept: its receiver needs the log from that
   * index on. Infinity if there is none.
   */
  get oldestIndex(): number {
    const sent = [...this.#sendings.values()].map((sending) => sending.index);
    const kept = [...this.#kept.values()].map(({ snapshot }) => snapshot.index);
    return Math.min(Number.POSITIVE_INFINITY, ...sent.filter((index) => index !== null), ...kept);
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

  /** Aborts all transfers and releases the kept states. Resolves when no state is pinned. */
  async cancelAll(): Promise<void> {
    const sendings = [...this.#sendings.values()];
    const reason = new AshlarError("CANCELLED", "The snapshot transfer was cancelled");
    for (const sending of sendings) sending.aborting.abort(reason);
    await Promise.all(sendings.map((sending) => sending.done));
    for (const peer of [...this.#kept.keys()]) this.#claimKept(peer)?.release();
  }

  async #send(peer: MemberId, leaderTerm: Term, sending: Sending): Promise<void> {
    const { log, clock, onDone } = this.#options;
    const startedMs = clock.monotonicMs();
    let outcome: "delivered" | "failed" = "failed";
    try {
      const index = await this.#connectAndSend(peer, leaderTerm, sending);
      outcome = "delivered";
      const durationMs = Math.round(clock.monotonicMs() - startedMs);
      log.info("A peer installed a snapshot", { peer, index, durationMs });
    } catch (error) {
      if (!isAshlarError(error)) throw error;
      log.warn("Cannot send a snapshot", { peer, error });
    }
    this.#sendings.delete(peer);
    onDone(peer, outcome);
  }

  /** Resolves with the index of the state that the peer has installed. */
  async #connectAndSend(peer: MemberId, leaderTerm: Term, sending: Sending): Promise<LogIndex> {
    const { addressOf } = this.#options;
    const address = addressOf(peer);
    if (address === null) {
      throw new AshlarError(
        "UNAVAILABLE",
        `Cannot connect to member ${peer}: its address is not known`,
      );
    }
    const { signal } = sending.aborting;
    let partial: PartialSnapshot | undefined;
    const connection = await connectToPeer({
      ...this.#options,
      peer: { id: peer, address },
      signal,
      onHandshake: ({ snapshotHeld }) => {
        partial = snapshotHeld;
      },
    });
    try {
      signal.throwIfAborted();
      const snapshot = this.#snapshotFor(peer, partial);
      sending.index = snapshot.index;
      const skippedCount = isSameSnapshot(snapshot, partial) ? partial.entryCount : 0;
      await this.#streamOrKeep(connection, snapshot, { peer, leaderTerm, signal, skippedCount });
      return snapshot.index;
    } finally {
      await connection.close(0);
    }
  }

  /** Returns the kept state if the peer has kept the beginning of it, else the current state. */
  #snapshotFor(peer: MemberId, partial: PartialSnapshot | undefined): StateSnapshot {
    const kept = this.#claimKept(peer);
    if (kept !== null && isSameSnapshot(kept, partial)) return kept;
    kept?.release();
    return this.#options.machine().openSnapshot();
  }

  #claimKept(peer: MemberId): StateSnapshot | null {
    const kept = this.#kept.get(peer);
    if (kept === undefined) return null;
    this.#kept.delete(peer);
    kept.timer.cancel();
    return kept.snapshot;
  }

  /** Sends the snapshot. Releases it afterwards, or keeps it after an interruption. */
  async #streamOrKeep(
    connection: Connection,
    snapshot: StateSnapshot,
    to: Destination,
  ): Promise<void> {
    let isKept = false;
    try {
      await this.#stream(connection, snapshot, to);
    } catch (error) {
      isKept = !to.signal.aborted && !isAshlarError(error, "STATE_DIVERGED");
      throw error;
    } finally {
      if (isKept) this.#keep(to.peer, snapshot);
      else snapshot.release();
    }
  }

  #keep(peer: MemberId, snapshot: StateSnapshot): void {
    const timer = this.#options.clock.after(RESUME_WITHIN_MS, () => {
      this.#claimKept(peer)?.release();
    });
    this.#kept.set(peer, { snapshot, timer });
  }

  async #stream(connection: Connection, snapshot: StateSnapshot, to: Destination): Promise<void> {
    const { own, clock, stallMs } = this.#options;
    const { index, term, membership } = snapshot;
    const open = {
      ...envelopeTo(own, to.peer),
      index,
      term,
      leaderTerm: to.leaderTerm,
      membership,
      skippedCount: to.skippedCount,
    };
    const stream = connection.open(raftSnapshot, open, {
      timeoutMs: STREAM_LIFETIME_MS,
      signal: to.signal,
    });
    const onStall = (error: AshlarError): void => stream.cancel(error);
    const send = async (head: SnapshotHead, body?: Uint8Array): Promise<void> => {
      to.signal.throwIfAborted();
      await withStallTimeout(clock, stallMs, { work: stream.send(head, body), onStall });
    };
    await sendParts(snapshot, this.#options, send, to.skippedCount);
    const reply = await withStallTimeout(clock, stallMs, { work: stream.receive(), onStall });
    if (reply === null) {
      throw new AshlarError(
        "CONNECTION_LOST",
        "Cannot send a snapshot: the peer ended the stream without a reply",
      );
    }
    reply.release();
    stream.end();
  }
}

function isSameSnapshot(
  { index, term }: StateSnapshot,
  partial: PartialSnapshot | undefined,
): partial is PartialSnapshot {
  return partial !== undefined && partial.index === index && partial.term === term;
}
