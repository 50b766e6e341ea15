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
import { withStallTimeout } from "./stall-guard.ts";
import type { PreparedState, StateHolder } from "./state-holder.ts";

const INTERRUPTION_CODES: readonly ErrorCode[] = [
  "CONNECTION_LOST",
  "DEADLINE_EXCEEDED",
  "CANCELLED",
];

export interface SnapshotReceiverOptions {
  readonly clock: Clock;
  readonly hasher: Hasher;
  readonly log: Log;
  readonly states: StateDirectory;
  readonly holder: StateHolder;
  readonly memberId: MemberId;
  readonly founders: Membership;
  readonly stallMs: number;
  /** Whether the core could use a snapshot of `index` from the leader of `leaderTerm`. */
  readonly isWanted: (index: LogIndex, leaderTerm: Term) => boolean;
  /** Tells the core. Resolves when it is known what becomes of the snapshot. */
  readonly offer: (request: SnapshotRequest) => Promise<OfferOutcome>;
}

export interface SnapshotOpening {
  readonly from: MemberId;
  readonly index: LogIndex;
  readonly term: Term;
  readonly leaderTerm: Term;
  readonly membership: Uint8Array;
  /** Rows that do not come, for they are here: see `held`. */
  readonly skippedCount: number;
}

/** A snapshot of which some rows have come. */
interface UnfinishedTransfer extends Pick<SnapshotOpening, "index" | "term"> {
  readonly named: NamedStore;
  readonly parts: PartsReceiver;
}

/**
 * Takes snapshots from the leader: into a store of their own, held against their digest, and only
 * then shown to the core, which may turn them down. One at a time. What has come of a transfer that
 * broke off is kept for a while, for a sender that goes on with it.
 */
export class SnapshotReceiver {
  readonly #options: SnapshotReceiverOptions;
  /** What is being received; null: nothing. */
  #receiving: Promise<void> | null = null;
  /** What is being received, or was when the transfer broke off; null: nothing. */
  #unfinished: UnfinishedTransfer | null = null;
  /** Gives up what was kept. Null while it is being received. */
  #expiry: Timer | null = null;
  #discarding: Promise<void> = Promise.resolve();
  /** Received whole, and offered to the core. From `install` on it is the state's. */
  #prepared: PreparedState | null = null;

  constructor(options: SnapshotReceiverOptions) {
    this.#options = options;
  }

  /** What a sender need not send again. */
  get partial(): PartialSnapshot | undefined {
    if (this.#unfinished === null) return undefined;
    const { index, term, parts } = this.#unfinished;
    return { index, term, entryCount: parts.entryCount };
  }

  /**
   * Resolves when the snapshot is in place, durably, or was not needed.
   *
   * @throws {AshlarError} OVERLOADED while another one is received; UNAVAILABLE if it is not wanted,
   *   or goes on with what is not here any more;
   *   PROTOCOL_ERROR if it was damaged on its way, STATE_DIVERGED if it was where it came from.
   */
  async receive(
    opening: SnapshotOpening,
    stream: Stream<{ kind: "installed"; index: LogIndex }, SnapshotHead>,
  ): Promise<void> {
    if (this.#receiving !== null) {
      throw new AshlarError("OVERLOADED", "Cannot take a snapshot: another one is being received");
    }
    if (!this.#options.isWanted(opening.index, opening.leaderTerm)) throw notWanted(opening);
    this.#receiving = this.#receiveAndOffer(opening, stream);
    try {
      await this.#receiving;
    } finally {
      this.#receiving = null;
    }
    await stream.send({ kind: "installed", index: opening.index });
    stream.end();
  }

  /** Resolves when nothing is received or kept any more. The caller has ended the stream. */
  async close(): Promise<void> {
    await this.#receiving?.catch(() => {}); // The stream's own end reports it.
    this.#discard(this.#claimUnfinished());
    await this.#discarding;
  }

  /** Puts the snapshot that the core has accepted in place of the state. */
  async install(snapshot: Snapshot): Promise<void> {
    const prepared = this.#prepared;
    assert(prepared !== null, "the core accepts only what was offered to it");
    const { index } = prepared.machine.durable;
    assert(index === snapshot.index, "the core accepts the snapshot that was offered");
    await this.#options.holder.replace(prepared);
  }

  async #receiveAndOffer(
    opening: SnapshotOpening,
    stream: Stream<{ kind: "installed"; index: LogIndex }, SnapshotHead>,
  ): Promise<void> {
    const { holder, log, offer } = this.#options;
    const { index, from, skippedCount } = opening;
    log.info("A snapshot is being received", { from, index, skippedCount });
    const unfinished = await this.#openTransfer(opening);
    this.#unfinished = unfinished;
    const { named, parts } = unfinished;
    let outcome: OfferOutcome | "broken-off" = "refused";
    try {
      await this.#receiveParts(parts, stream);
      this.#prepared = holder.prepare(named, opening, parts.stateHash);
      outcome = await offer(this.#requestOf(opening));
      if (outcome !== "installed") throw notWanted(opening);
      log.info("A snapshot is in place", { from, index });
    } catch (error) {
      if (this.#prepared === null && isInterruption(error)) outcome = "broken-off";
      throw error;
    } finally {
      this.#prepared = null;
      if (outcome === "broken-off") this.#keepForResume();
      else this.#unfinished = null;
      if (outcome === "refused") await holder.discard(named);
    }
  }

  /** What was kept, if it is the beginning of this snapshot that the sender skips; else an empty store. */
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
        `Cannot go on with the snapshot at index ${index}: expected ${skippedCount} entries of it to be here`,
      );
    }
    const named = await states.openFresh();
    return { index, term, named, parts: new PartsReceiver(named.store, hasher) };
  }

  #keepForResume(): void {
    this.#expiry = this.#options.clock.after(RESUME_WITHIN_MS, () => {
      this.#discard(this.#claimUnfinished());
    });
  }

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
      log.warn("What came of a snapshot could not be removed", { error });
    });
  }

  async #receiveParts(
    parts: PartsReceiver,
    stream: Stream<{ kind: "installed"; index: LogIndex }, SnapshotHead>,
  ): Promise<void> {
    const { clock, stallMs } = this.#options;
    const giveUp = (error: AshlarError): void => stream.cancel(error);
    for (;;) {
      const message = await withStallTimeout(clock, stallMs, { work: stream.receive(), giveUp });
      if (message === null) {
        throw new AshlarError("CONNECTION_LOST", "Cannot take a snapshot: it ends too early");
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

/** The transfer ended for a reason of its own: what has come is good. */
function isInterruption(error: unknown): boolean {
  return isAshlarError(error) && INTERRUPTION_CODES.includes(error.code);
}

function notWanted({ index, from }: SnapshotOpening): AshlarError {
  return new AshlarError(
    "UNAVAILABLE",
    `Cannot use the snapshot at index ${index} of member ${from}: it is not wanted any more`,
  );
}
