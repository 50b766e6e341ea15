import { assert } from "../../shared/base/assert.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex, MemberId, Term } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { Stream } from "../../shared/wire/rpc.ts";
import type { Membership, Snapshot, SnapshotRequest } from "../raft/messages.ts";
import type { NamedStore, StateDirectory } from "./member-storage.ts";
import { decodeRecord } from "./roster.ts";
import type { OfferOutcome } from "./snapshot-offers.ts";
import { PartsReceiver, type SnapshotHead } from "./snapshot-parts.ts";
import { guardStall } from "./stall-guard.ts";
import type { PreparedState, StateHolder } from "./state-holder.ts";

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
}

/**
 * Takes snapshots from the leader: into a store of their own, held against their digest, and only
 * then shown to the core, which may turn them down. One at a time.
 */
export class SnapshotReceiver {
  readonly #options: SnapshotReceiverOptions;
  /** What is being received; null: nothing. */
  #receiving: Promise<void> | null = null;
  /** Received whole, and offered to the core. From `install` on it is the state's. */
  #prepared: PreparedState | null = null;

  constructor(options: SnapshotReceiverOptions) {
    this.#options = options;
  }

  /**
   * Resolves when the snapshot is in place, durably, or was not needed.
   *
   * @throws {AshlarError} OVERLOADED while another one is received; UNAVAILABLE if it is not wanted;
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
    this.#receiving = this.#take(opening, stream);
    try {
      await this.#receiving;
    } finally {
      this.#receiving = null;
    }
    await stream.send({ kind: "installed", index: opening.index });
    stream.end();
  }

  /** Resolves when nothing is received any more. The caller has ended the stream. */
  async idle(): Promise<void> {
    await this.#receiving?.catch(() => {}); // The stream's own end reports it.
  }

  /** Puts the snapshot that the core has accepted in place of the state. */
  async install(snapshot: Snapshot): Promise<void> {
    const prepared = this.#prepared;
    assert(prepared !== null, "the core accepts only what was offered to it");
    const { index } = prepared.machine.durable;
    assert(index === snapshot.index, "the core accepts the snapshot that was offered");
    await this.#options.holder.replace(prepared);
  }

  async #take(
    opening: SnapshotOpening,
    stream: Stream<{ kind: "installed"; index: LogIndex }, SnapshotHead>,
  ): Promise<void> {
    const { states, holder, log, offer } = this.#options;
    const { index, from } = opening;
    log.info("A snapshot is being received", { from, index });
    const named = await states.openFresh();
    let outcome: OfferOutcome = "refused";
    try {
      const rowsHash = await this.#fill(named, stream);
      this.#prepared = holder.prepare(named, opening, rowsHash);
      outcome = await offer(this.#requestOf(opening));
      if (outcome !== "installed") throw notWanted(opening);
      log.info("A snapshot is in place", { from, index });
    } finally {
      this.#prepared = null;
      if (outcome === "refused") await holder.discard(named);
    }
  }

  /** @returns the hash of the rows */
  async #fill(
    named: NamedStore,
    stream: Stream<{ kind: "installed"; index: LogIndex }, SnapshotHead>,
  ): Promise<Uint8Array> {
    const { clock, hasher, stallMs } = this.#options;
    const parts = new PartsReceiver(named.store, hasher);
    const giveUp = (error: AshlarError): void => stream.cancel(error);
    for (;;) {
      const message = await guardStall(clock, stallMs, { work: stream.receive(), giveUp });
      if (message === null) {
        throw new AshlarError("CONNECTION_LOST", "Cannot take a snapshot: it ends too early");
      }
      if (await parts.take(message.head, message)) return parts.stateHash;
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
        membership: membership.length === 0 ? founders : decodeRecord(membership).membership,
        data: new Uint8Array(0),
      },
    };
  }
}

function notWanted({ index, from }: SnapshotOpening): AshlarError {
  return new AshlarError(
    "UNAVAILABLE",
    `Cannot use the snapshot at index ${index} of member ${from}: it is not wanted any more`,
  );
}
