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
import { withStallTimeout } from "./stall-guard.ts";

/** However large the state and slow the peer. */
const STREAM_LIFETIME_MS = 60 * 60 * 1_000;

export interface SnapshotSenderOptions
  extends Omit<HandshakeOptions, "signal" | "peer">,
    SendPartsOptions {
  readonly log: Log;
  readonly machine: () => StateMachine;
  readonly addressOf: (member: MemberId) => string | null;
  readonly stallMs: number;
  readonly onDone: (peer: MemberId, outcome: "delivered" | "failed") => void;
}

/** What a transfer that broke off was sending. */
interface KeptSnapshot {
  readonly snapshot: StateSnapshot;
  /** Releases it. */
  readonly timer: Timer;
}

interface Destination {
  readonly peer: MemberId;
  readonly leaderTerm: Term;
  readonly signal: AbortSignal;
  /** Rows that the peer has. */
  readonly skippedCount: number;
}

interface Sending {
  readonly aborting: AbortController;
  /** What is sent; null before the state was opened. */
  index: LogIndex | null;
  readonly done: Promise<void>;
}

/**
 * Carries the state to followers whose log ends before ours begins: one at a time to each. A
 * transfer that breaks off goes on where it was if it is begun again soon: the state is kept for it.
 */
export class SnapshotSender {
  readonly #options: SnapshotSenderOptions;
  readonly #sendings = new Map<MemberId, Sending>();
  readonly #kept = new Map<MemberId, KeptSnapshot>();

  constructor(options: SnapshotSenderOptions) {
    this.#options = options;
  }

  /** The oldest index under way or kept: its receiver needs the log from there on. Else Infinity. */
  get oldestIndex(): number {
    const sent = [...this.#sendings.values()].map((sending) => sending.index);
    const kept = [...this.#kept.values()].map(({ snapshot }) => snapshot.index);
    return Math.min(Number.POSITIVE_INFINITY, ...sent.filter((index) => index !== null), ...kept);
  }

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

  /** Gives up all that is under way. Resolves when the state is not read any more. */
  async cancelAll(): Promise<void> {
    const sendings = [...this.#sendings.values()];
    const reason = new AshlarError("CANCELLED", "The snapshot is not sent any more");
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
      log.info("A snapshot was installed by a peer", { peer, index, durationMs });
    } catch (error) {
      if (!isAshlarError(error)) throw error;
      log.warn("A snapshot could not be sent", { peer, error });
    }
    this.#sendings.delete(peer);
    onDone(peer, outcome);
  }

  async #connectAndSend(peer: MemberId, leaderTerm: Term, sending: Sending): Promise<LogIndex> {
    const { addressOf } = this.#options;
    const address = addressOf(peer);
    if (address === null) throw new AshlarError("UNAVAILABLE", `Member ${peer} has no address`);
    const { signal } = sending.aborting;
    let held: PartialSnapshot | undefined;
    const connection = await connectToPeer({
      ...this.#options,
      peer: { id: peer, address },
      signal,
      onHandshake: ({ snapshotHeld }) => {
        held = snapshotHeld;
      },
    });
    try {
      signal.throwIfAborted();
      const snapshot = this.#snapshotFor(peer, held);
      sending.index = snapshot.index;
      const skippedCount = isSameSnapshot(snapshot, held) ? held.entryCount : 0;
      await this.#streamOrKeep(connection, snapshot, { peer, leaderTerm, signal, skippedCount });
      return snapshot.index;
    } finally {
      await connection.close(0);
    }
  }

  /** The state that a transfer broke off with, if the peer has kept its beginning; else as it is now. */
  #snapshotFor(peer: MemberId, held: PartialSnapshot | undefined): StateSnapshot {
    const kept = this.#claimKept(peer);
    if (kept !== null && isSameSnapshot(kept, held)) return kept;
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

  /** Releases the snapshot, or keeps it for the next attempt. */
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
    const giveUp = (error: AshlarError): void => stream.cancel(error);
    const send = async (head: SnapshotHead, body?: Uint8Array): Promise<void> => {
      to.signal.throwIfAborted();
      await withStallTimeout(clock, stallMs, { work: stream.send(head, body), giveUp });
    };
    await sendParts(snapshot, this.#options, send, to.skippedCount);
    const reply = await withStallTimeout(clock, stallMs, { work: stream.receive(), giveUp });
    if (reply === null) throw new AshlarError("CONNECTION_LOST", "The peer gave no answer");
    reply.release();
    stream.end();
  }
}

function isSameSnapshot(
  { index, term }: StateSnapshot,
  held: PartialSnapshot | undefined,
): held is PartialSnapshot {
  return held !== undefined && held.index === index && held.term === term;
}
