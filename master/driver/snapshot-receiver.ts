import { assert } from "../../shared/base/assert.ts";
import { AshlarError, type ErrorCode, isAshlarError } from "../../shared/base/errors.ts";
import type { LogIndex, MemberId, Term } from "../../shared/base/ids.ts";
import type { Clock, Timer } from "../../shared/ports/clock.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { Stream } from "../../shared/wire/rpc.ts";
import type { Membership, Snapshot, SnapshotRequest } from "../raft/messages.ts";
import type { NamedStore, StateDirectory } from "./member-storage.ts";
import { decodeMembershipRecord } from "./membership-record.ts";
import type { OfferOutcome } from "./snapshot-offers.ts";
import {
  type PartialSnapshot,
  PartsReceiver,
  RESUME_WITHIN_MS,
  type SnapshotHead,
} from "./snapshot-parts.ts";
import { withStallTimeout } from "./stall-timeout.ts";
import type { PreparedState, StateHolder } from "./state-holder.ts";

/** Errors that end a transfer although the received rows are good. */
const INTERRUPTION_CODES: readonly ErrorCode[] = [
  "CONNECTION_LOST",
  "DEADLINE_EXCEEDED",
  "CANCELLED",
];

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
  readonly stallMs: number;
  /** Returns whether the core can use a snapshot at `index` from the leader of `leaderTerm`. */
  readonly isWanted: (index: LogIndex, leaderTerm: Term) => boolean;
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
  /** Number of first rows that are not sent, because this member has them: see `partial`. */
  readonly skippedCount: number;
}

/** A transfer that is in progress or was interrupted. */
interface UnfinishedTransfer extends Pick<SnapshotOpening, "index" | "term"> {
  readonly named: NamedStore;
  readonly parts: PartsReceiver;
}

/**
 * Receives snapshots from the leader, one at a time. A snapshot is written to a new store and
 * verified against its digest before it is offered to the core, which may refuse it. The rows of an
 * interrupted transfer are kept for RESUME_WITHIN_MS, so that the sender can resume it.
 */
export class SnapshotReceiver {
  readonly #options: SnapshotReceiverOptions;
  /** The running transfer, or null. */
  #receiving: Promise<void> | null = null;
  /** The rows of the running or interrupted transfer, or null. */
  #unfinished: UnfinishedTransfer | null = null;
  /** Discards the rows of an interrupted transfer. Null while a transfer runs. */
  #expiry: Timer | null = null;
  #discarding: Promise<void> = Promise.resolve();
  /** The complete snapshot that is offered to the core. `install` hands it to the state holder. */
  #prepared: PreparedState | null = null;

  constructor(options: SnapshotReceiverOptions) {
    this.#options = options;
  }

  /** The received beginning of a snapshot, which a sender can skip. */
  get partial(): PartialSnapshot | undefined {
    if (this.#unfinished === null) return undefined;
    const { index, term, parts } = this.#unfinished;
    return { index, term, entryCount: parts.entryCount };
  }

  /**
   * Receives a snapshot. Resolves when it is durably installed.
   *
   * @throws {AshlarError} OVERLOADED during another transfer; UNAVAILABLE if the core does not need
   *   the snapshot, or the rows to skip are no longer here; PROTOCOL_ERROR if the transfer damaged
   *   it; STATE_DIVERGED if it was damaged at the sender
   */
  async receive(
    opening: SnapshotOpening,
    stream: Stream<{ kind: "installed"; index: LogIndex }, SnapshotHead>,
  ): Promise<void> {
    if (this.#receiving !== null) {
      throw new AshlarError(
        "OVERLOADED",
        "Cannot receive a snapshot: another transfer is in progress",
      );
    }
    if (!this.#options.isWanted(opening.index, opening.leaderTerm)) throw notNeeded(opening);
    this.#receiving = this.#receiveAndOffer(opening, stream);
    try {
      await this.#receiving;
    } finally {
      this.#receiving = null;
    }
    await stream.send({ kind: "installed", index: opening.index });
    stream.end();
  }

  /** Resolves when no transfer runs and no rows are kept. The caller must have ended the stream. */
  async close(): Promise<void> {
    await this.#receiving?.catch(() => {}); // The handler of the stream reports the error.
    this.#discard(this.#claimUnfinished());
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

  /**
   * Receives the rows, offers the snapshot to the core, and discards or keeps the rows on failure.
   */
  async #receiveAndOffer(
    opening: SnapshotOpening,
    stream: Stream<{ kind: "installed"; index: LogIndex }, SnapshotHead>,
  ): Promise<void> {
    const { holder, log, offer } = this.#options;
    const { index, from, skippedCount } = opening;
    log.info("Receiving a snapshot", { from, index, skippedCount });
    const unfinished = await this.#openTransfer(opening);
    this.#unfinished = unfinished;
    const { named, parts } = unfinished;
    let outcome: OfferOutcome | "interrupted" = "refused";
    try {
      await this.#receiveParts(parts, stream);
      this.#prepared = holder.prepare(named, opening, parts.stateHash);
      outcome = await offer(this.#requestOf(opening));
      if (outcome !== "installed") throw notNeeded(opening);
      log.info("Installed a snapshot", { from, index });
    } catch (error) {
      if (this.#prepared === null && isInterruption(error)) outcome = "interrupted";
      throw error;
    } finally {
      this.#prepared = null;
      if (outcome === "interrupted") this.#keepForResume();
      else this.#unfinished = null;
      if (outcome === "refused") await holder.discard(named);
    }
  }

  /**
   * Returns the kept transfer if its rows are those that the sender skips, else a transfer into an
   * empty store.
   */
  async #openTransfer({ index, term, skippedCount }: SnapshotOpening): Promise<UnfinishedTransfer> {
    const { states, hasher } = this.#options;
    const kept = this.#claimUnfinished();
    if (skippedCount > 0) {
      const isSame = kept?.index === index && kept.term === term;
      if (isSame && kept.parts.entryCount === skippedCount) return kept;
    }
    this.#discard(kept);
    await this.#discarding;
    if (skippedCount > 0) {
      throw new AshlarError(
        "UNAVAILABLE",
        `Cannot resume the snapshot at index ${index}: expected its first ${skippedCount} rows on this member`,
      );
    }
    const named = await states.openFresh();
    return { index, term, named, parts: new PartsReceiver(named.store, hasher) };
  }

  /** Keeps the rows of the interrupted transfer for RESUME_WITHIN_MS. */
  #keepForResume(): void {
    this.#expiry = this.#options.clock.after(RESUME_WITHIN_MS, () => {
      this.#discard(this.#claimUnfinished());
    });
  }

  /** Returns the kept transfer and stops its expiry. The caller uses or discards it. */
  #claimUnfinished(): UnfinishedTransfer | null {
    const kept = this.#unfinished;
    this.#unfinished = null;
    this.#expiry?.cancel();
    this.#expiry = null;
    return kept;
  }

  #discard(kept: UnfinishedTransfer | null): void {
    if (kept === null) return;
    const { holder, log } = this.#options;
    this.#discarding = holder.discard(kept.named).catch((error: unknown) => {
      if (!isAshlarError(error)) throw error;
      log.warn("Cannot remove the rows of an interrupted snapshot transfer", { error });
    });
  }

  async #receiveParts(
    parts: PartsReceiver,
    stream: Stream<{ kind: "installed"; index: LogIndex }, SnapshotHead>,
  ): Promise<void> {
    const { clock, stallMs } = this.#options;
    const onStall = (error: AshlarError): void => stream.cancel(error);
    for (;;) {
      const message = await withStallTimeout(clock, stallMs, { work: stream.receive(), onStall });
      if (message === null) {
        throw new AshlarError(
          "CONNECTION_LOST",
          "Cannot receive a snapshot: the stream ended before the end message",
        );
      }
      if (await parts.receive(message.head, message)) return;
    }
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
