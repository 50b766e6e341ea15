import { assert } from "../../shared/base/assert.ts";
import { AshlarError, type ErrorCode, isAshlarError } from "../../shared/base/errors.ts";
import type { LogIndex, MemberId, Term } from "../../shared/base/ids.ts";
import type { Clock, Timer } from "../../shared/ports/clock.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { SnapshotReply } from "../../shared/protocol/raft-api.ts";
import type { Stream } from "../../shared/wire/rpc.ts";
import type { Membership, Snapshot, SnapshotRequest } from "../raft/messages.ts";
import { GuardedStream } from "./guarded-stream.ts";
import { encodeRanges, type HeldRange } from "./held-ranges.ts";
import type { NamedStore, StateDirectory } from "./member-storage.ts";
import { decodeMembershipRecord } from "./membership-record.ts";
import { PartsReceiver } from "./parts-receiver.ts";
import type { OfferOutcome } from "./snapshot-offers.ts";
import type { SnapshotHead } from "./snapshot-parts.ts";
import type { PreparedState, StateHolder } from "./state-holder.ts";

/** Errors that end a transfer although the received rows are good. */
const INTERRUPTION_CODES: readonly ErrorCode[] = [
  "CONNECTION_LOST",
  "DEADLINE_EXCEEDED",
  "CANCELLED",
];
/**
 * Time in milliseconds for which the rows of an interrupted transfer are kept. They take space on the
 * disk, and in memory only their ranges. A leader that can be elected sends within seconds.
 */
const KEEP_ROWS_MS = 10 * 60_000;

/** Dependencies and settings of a SnapshotReceiver. */
export interface SnapshotReceiverOptions {
  readonly clock: Clock;
  readonly hasher: Hasher;
  readonly log: Log;
  readonly states: StateDirectory;
  readonly holder: StateHolder;
  readonly memberId: MemberId;
  /** The membership of a snapshot that stores none. */
  readonly founders: Membership;
  /** Smallest range of rows that is kept or sent again as a whole, in bytes. */
  readonly rangeBytesMin: number;
  readonly stallMs: number;
  /** Returns whether the core can use a snapshot at `index`. */
  readonly isNeeded: (index: LogIndex) => boolean;
  /** Returns whether no later term than `leaderTerm` is known. */
  readonly isCurrent: (leaderTerm: Term) => boolean;
  /** Offers a received snapshot to the core. Resolves with the outcome. */
  readonly offer: (request: SnapshotRequest) => Promise<OfferOutcome>;
}

/** The opening message of a snapshot transfer. */
export interface SnapshotOpening {
  readonly from: MemberId;
  readonly index: LogIndex;
  readonly term: Term;
  readonly leaderTerm: Term;
  readonly membership: Uint8Array;
  /** Whether this member reports the ranges that it has, and the sender sends the rest. */
  readonly resumes: boolean;
}

/** The stream of a transfer, at the receiver. */
type SnapshotStream = Stream<SnapshotReply, SnapshotHead>;

/** The transfer in progress. */
interface RunningTransfer {
  readonly leaderTerm: Term;
  readonly stream: Pick<SnapshotStream, "cancel">;
  readonly done: Promise<void>;
}

/** A store with the rows of an interrupted transfer, or an empty store. */
interface PartialState {
  readonly named: NamedStore;
  readonly ranges: readonly HeldRange[];
}

/**
 * Receives snapshots from the leader, one at a time. A snapshot is written to a separate store and
 * verified against its digest before it is offered to the core, which may refuse it.
 *
 * After an interruption the rows are kept for KEEP_ROWS_MS. The next transfer, from any leader and of
 * any state, continues with them: this member reports the digests of their ranges, and the leader
 * sends the ranges that differ and the rows after them. A restart removes the rows.
 */
export class SnapshotReceiver {
  readonly #options: SnapshotReceiverOptions;
  #running: RunningTransfer | null = null;
  /** The receiver of the parts of the running transfer, or null. */
  #parts: PartsReceiver | null = null;
  /** What an interrupted transfer has left, or null. Always null while `#parts` is not. */
  #kept: PartialState | null = null;
  /** Discards `#kept`. */
  #expiry: Timer | null = null;
  #discarding: Promise<void> = Promise.resolve();
  /** The complete snapshot that is offered to the core. `install` hands it to the state holder. */
  #prepared: PreparedState | null = null;

  constructor(options: SnapshotReceiverOptions) {
    this.#options = options;
  }

  /** Whether this member has rows of an unfinished transfer. */
  get holdsRows(): boolean {
    return this.#kept !== null || this.#parts?.isEmpty === false;
  }

  /**
   * Receives a snapshot. Resolves when it is durably installed. Ends a transfer of the same or an
   * earlier leader: a leader opens one transfer at a time, so the earlier one is dead.
   *
   * @throws {AshlarError} OVERLOADED during a transfer of a later leader; UNAVAILABLE if the core does
   *   not need the snapshot; PROTOCOL_ERROR if the transfer damaged it; STORE_CORRUPT if a row that
   *   was kept has changed on the disk; STATE_DIVERGED if it was damaged at the sender
   */
  async receive(opening: SnapshotOpening, stream: SnapshotStream): Promise<void> {
    // Checked again after each wait: another transfer may have begun in the meantime.
    while (this.#running !== null) await this.#cancel(this.#running, opening);
    const { isNeeded, isCurrent } = this.#options;
    if (!isNeeded(opening.index) || !isCurrent(opening.leaderTerm)) throw notNeeded(opening);
    const done = this.#receiveAndOffer(opening, stream);
    this.#running = { leaderTerm: opening.leaderTerm, stream, done };
    try {
      await done;
    } finally {
      this.#running = null;
    }
    await stream.send({ kind: "installed", index: opening.index });
    stream.end();
  }

  /** Resolves when no transfer runs and no rows are kept. The caller must have ended the stream. */
  async close(): Promise<void> {
    await this.#running?.done.catch(() => {}); // The handler of the stream reports the error.
    this.#discard(this.#claimKept());
    await this.#discarding;
  }

  /** Replaces the state by the snapshot that the core has accepted. Durable when it resolves. */
  async install(snapshot: Snapshot): Promise<void> {
    const prepared = this.#prepared;
    assert(prepared !== null, "the core accepts a snapshot only after the offer");
    const { index } = prepared.machine.durable;
    assert(index === snapshot.index, "the core accepts the offered snapshot");
    await this.#options.holder.replace(prepared);
  }

  /** Cancels the running transfer, unless a later leader sends it. Resolves when it has ended. */
  async #cancel(running: RunningTransfer, { leaderTerm }: SnapshotOpening): Promise<void> {
    const { stream, done } = running;
    if (running.leaderTerm > leaderTerm) {
      throw new AshlarError(
        "OVERLOADED",
        "Cannot receive a snapshot: a later leader sends another one",
      );
    }
    stream.cancel(new AshlarError("CANCELLED", "Another transfer of a snapshot has begun"));
    await done.catch(() => {}); // The handler of the stream reports the error.
  }

  /** Receives the rows and offers the snapshot to the core. Keeps or discards the rows on failure. */
  async #receiveAndOffer(opening: SnapshotOpening, stream: SnapshotStream): Promise<void> {
    const { holder, log, offer, isNeeded } = this.#options;
    const { index, from } = opening;
    const { named, ranges } = await this.#openTransfer(opening);
    log.info("Receiving a snapshot", { from, index, rangeCount: ranges.length });
    const parts = new PartsReceiver(named.store, { ...this.#options, ranges });
    this.#parts = parts;
    let outcome: OfferOutcome | "interrupted" = "refused";
    try {
      const guarded = new GuardedStream(stream, this.#options);
      if (opening.resumes) await sendRanges(ranges, guarded);
      await receiveParts(parts, guarded);
      this.#prepared = holder.prepare(named, opening, parts.stateHash);
      outcome = await offer(this.#requestOf(opening));
      if (outcome !== "installed") throw notNeeded(opening);
      const { rowCount, keptCount } = parts;
      log.info("Installed a snapshot", { from, index, rowCount, keptCount });
    } catch (error) {
      if (this.#prepared === null && isInterruption(error)) outcome = "interrupted";
      // The leader has changed after the last part. The next one can use the rows.
      else if (this.#prepared !== null && outcome === "refused" && isNeeded(index)) {
        outcome = "interrupted";
      }
      throw error;
    } finally {
      this.#prepared = null;
      this.#parts = null;
      if (outcome === "interrupted") this.#keep({ named, ranges: parts.close() });
      if (outcome === "refused") await holder.discard(named);
    }
  }

  /** Returns the kept rows if the sender resumes the transfer, else an empty store. */
  async #openTransfer({ resumes }: SnapshotOpening): Promise<PartialState> {
    const kept = this.#claimKept();
    if (kept !== null && resumes) return kept;
    this.#discard(kept);
    await this.#discarding;
    return { named: await this.#options.states.openFresh(), ranges: [] };
  }

  /** Keeps the rows of an interrupted transfer for KEEP_ROWS_MS. */
  #keep(partial: PartialState): void {
    if (partial.ranges.length === 0) {
      this.#discard(partial);
      return;
    }
    this.#kept = partial;
    this.#expiry = this.#options.clock.after(KEEP_ROWS_MS, () => this.#discard(this.#claimKept()));
  }

  /** Returns the kept rows and stops their expiry. The caller uses or discards them. */
  #claimKept(): PartialState | null {
    const kept = this.#kept;
    this.#kept = null;
    this.#expiry?.cancel();
    this.#expiry = null;
    return kept;
  }

  #discard(kept: PartialState | null): void {
    if (kept === null) return;
    const { holder, log } = this.#options;
    this.#discarding = holder.discard(kept.named).catch((error: unknown) => {
      if (!isAshlarError(error)) throw error;
      log.warn("Cannot remove the rows of an interrupted snapshot transfer", { error });
    });
  }

  #requestOf(opening: SnapshotOpening): SnapshotRequest {
    const { memberId, founders } = this.#options;
    const { from, index, term, leaderTerm, membership } = opening;
    return {
      kind: "snapshot-request",
      from,
      to: memberId,
      term: leaderTerm,
      snapshot: {
        index,
        term,
        membership:
          membership.length === 0 ? founders : decodeMembershipRecord(membership).membership,
        data: new Uint8Array(0),
      },
    };
  }
}

type GuardedSnapshotStream = GuardedStream<SnapshotReply, SnapshotHead>;

async function sendRanges(
  ranges: readonly HeldRange[],
  stream: GuardedSnapshotStream,
): Promise<void> {
  const pages = encodeRanges(ranges);
  for (const [number, page] of pages.entries()) {
    await stream.send({ kind: "held", isLast: number === pages.length - 1 }, page);
  }
}

async function receiveParts(parts: PartsReceiver, stream: GuardedSnapshotStream): Promise<void> {
  for (;;) {
    const message = await stream.receive();
    if (message === null) {
      throw new AshlarError(
        "CONNECTION_LOST",
        "Cannot receive a snapshot: the stream ended before the end message",
      );
    }
    if (await parts.receive(message.head, message)) return;
    if (message.head.kind !== "part") await stream.send({ kind: "kept" });
  }
}

/** Returns whether `error` ended the transfer although the received rows are good. */
function isInterruption(error: unknown): boolean {
  return isAshlarError(error) && INTERRUPTION_CODES.includes(error.code);
}

/** Returns the error for a snapshot that the core does not need. */
function notNeeded({ index, from }: SnapshotOpening): AshlarError {
  return new AshlarError(
    "UNAVAILABLE",
    `Cannot use the snapshot at index ${index} of member ${from}: this member no longer needs it`,
  );
}
