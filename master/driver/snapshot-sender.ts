import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { LogIndex, MemberId, Term } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Log } from "../../shared/ports/log.ts";
import { raftSnapshot } from "../../shared/protocol/raft-api.ts";
import type { Connection } from "../../shared/wire/rpc.ts";
import type { StateMachine, StateSnapshot } from "../state-machine.ts";
import { connectToPeer, envelopeTo, type GreetOptions } from "./peer-greeting.ts";
import { type SendOptions, sendParts } from "./snapshot-parts.ts";
import { guardStall } from "./stall-guard.ts";

/** However large the state and slow the peer. */
const LIFETIME_MS = 60 * 60 * 1_000;

export interface SnapshotSenderOptions extends Omit<GreetOptions, "signal" | "peer">, SendOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly machine: () => StateMachine;
  readonly addressOf: (member: MemberId) => string | null;
  readonly stallMs: number;
  readonly onDone: (peer: MemberId, outcome: "delivered" | "failed") => void;
}

interface Sending {
  readonly aborting: AbortController;
  /** What is sent; null before the state was opened. */
  index: LogIndex | null;
  readonly done: Promise<void>;
}

/** Carries the state to followers whose log ends before ours begins: one at a time to each. */
export class SnapshotSender {
  readonly #options: SnapshotSenderOptions;
  readonly #sendings = new Map<MemberId, Sending>();

  constructor(options: SnapshotSenderOptions) {
    this.#options = options;
  }

  /** The oldest index under way: its receiver needs the log from there on. Infinity if none is. */
  get oldestIndex(): number {
    const indexes = [...this.#sendings.values()].map((sending) => sending.index);
    return Math.min(Number.POSITIVE_INFINITY, ...indexes.filter((index) => index !== null));
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
  }

  async #send(peer: MemberId, leaderTerm: Term, sending: Sending): Promise<void> {
    const { log, clock, onDone } = this.#options;
    const startedMs = clock.monotonicMs();
    let outcome: "delivered" | "failed" = "failed";
    try {
      const index = await this.#carry(peer, leaderTerm, sending);
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

  async #carry(peer: MemberId, leaderTerm: Term, sending: Sending): Promise<LogIndex> {
    const { addressOf } = this.#options;
    const address = addressOf(peer);
    if (address === null) throw new AshlarError("UNAVAILABLE", `Member ${peer} has no address`);
    const { signal } = sending.aborting;
    const connection = await connectToPeer({
      ...this.#options,
      peer: { id: peer, address },
      signal,
    });
    try {
      signal.throwIfAborted();
      const snapshot = this.#options.machine().openSnapshot();
      sending.index = snapshot.index;
      try {
        await this.#stream(connection, snapshot, { peer, leaderTerm, signal });
      } finally {
        snapshot.release();
      }
      return snapshot.index;
    } finally {
      await connection.close(0);
    }
  }

  async #stream(
    connection: Connection,
    snapshot: StateSnapshot,
    to: { readonly peer: MemberId; readonly leaderTerm: Term; readonly signal: AbortSignal },
  ): Promise<void> {
    const { own, clock, stallMs } = this.#options;
    const { index, term, membership } = snapshot;
    const open = {
      ...envelopeTo(own, to.peer),
      index,
      term,
      leaderTerm: to.leaderTerm,
      membership,
    };
    const stream = connection.open(raftSnapshot, open, {
      timeoutMs: LIFETIME_MS,
      signal: to.signal,
    });
    const giveUp = (error: AshlarError): void => stream.cancel(error);
    await sendParts(snapshot, this.#options, async (head, body) => {
      to.signal.throwIfAborted();
      await guardStall(clock, stallMs, { work: stream.send(head, body), giveUp });
    });
    const reply = await guardStall(clock, stallMs, { work: stream.receive(), giveUp });
    if (reply === null) throw new AshlarError("CONNECTION_LOST", "The peer gave no answer");
    reply.release();
    stream.end();
  }
}
