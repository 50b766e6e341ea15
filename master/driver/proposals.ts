import { assert } from "../../shared/base/assert.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex } from "../../shared/base/ids.ts";
import type { Applied } from "../consensus.ts";
import type { EntryPosition } from "../raft/messages.ts";

/** A command whose caller waits. */
export interface PendingProposal {
  readonly command: Uint8Array;
  readonly resolve: (applied: Applied) => void;
  readonly reject: (error: AshlarError) => void;
}

interface PlacedProposal {
  readonly proposal: PendingProposal;
  readonly term: EntryPosition["term"];
}

/** An entry of the log larger than this is refused: it must fit into one message. */
const PROPOSAL_BYTES_MAX = 4 * 1024 * 1024;
const NOTHING = new Uint8Array(0);

/**
 * The commands under way.
 *
 * Invariant: a caller gets exactly one answer. It is the outcome only of the entry that holds its
 * own command: the entry at the index at which the command was placed, in the same term.
 */
export class Proposals {
  readonly #countMax: number;
  readonly #bytesMax: number;
  #queued: PendingProposal[] = [];
  readonly #placed = new Map<LogIndex, PlacedProposal>();
  #count = 0;
  #sizeBytes = 0;

  constructor(limits: { readonly countMax: number; readonly bytesMax: number }) {
    this.#countMax = limits.countMax;
    this.#bytesMax = limits.bytesMax;
  }

  get count(): number {
    return this.#count;
  }

  /** Queues a command for the next turn. @throws {AshlarError} TOO_LARGE, OVERLOADED */
  add(command: Uint8Array): Promise<Applied> {
    const refusal = this.#refusalOf(command);
    if (refusal !== null) return Promise.reject(refusal);
    this.#count += 1;
    this.#sizeBytes += command.length;
    return new Promise((resolve, reject) => {
      this.#queued.push({ command, resolve, reject });
    });
  }

  #refusalOf(command: Uint8Array): AshlarError | null {
    assert(command.length > 0, "a command is not empty: empty entries are the leader's own");
    if (command.length > PROPOSAL_BYTES_MAX) {
      return new AshlarError(
        "TOO_LARGE",
        `Cannot propose a command of ${command.length} bytes: expected at most ${PROPOSAL_BYTES_MAX}`,
      );
    }
    if (this.#count < this.#countMax && this.#sizeBytes + command.length <= this.#bytesMax) {
      return null;
    }
    return new AshlarError(
      "OVERLOADED",
      `Cannot propose a command: ${this.#count} commands of ${this.#sizeBytes} bytes are under way`,
    );
  }

  takeQueued(): PendingProposal[] {
    const queued = this.#queued;
    this.#queued = [];
    return queued;
  }

  /** The command stands in the log, not committed yet. */
  place(proposal: PendingProposal, position: EntryPosition): void {
    assert(!this.#placed.has(position.index), "two commands never stand at one index");
    this.#placed.set(position.index, { proposal, term: position.term });
  }

  /** Waits for an entry that holds no command and stands in the log, not committed yet. */
  waitFor(position: EntryPosition): Promise<Applied> {
    this.#count += 1;
    return new Promise((resolve, reject) => {
      this.place({ command: NOTHING, resolve, reject }, position);
    });
  }

  /** The command is not in the log. */
  refuse(proposal: PendingProposal, error: AshlarError): void {
    this.#release(proposal);
    proposal.reject(error);
  }

  /** The entry at `position` is applied, with `outcome`. */
  settle(position: EntryPosition, outcome: unknown): void {
    const placed = this.#placed.get(position.index);
    if (placed === undefined) return;
    this.#placed.delete(position.index);
    const { proposal, term } = placed;
    this.#release(proposal);
    if (term === position.term) {
      proposal.resolve({ index: position.index, outcome });
      return;
    }
    // Another leader's entry was committed in its place, so this one never can be.
    proposal.reject(
      new AshlarError("NOT_LEADER", "Cannot commit a command: a new leader took over"),
    );
  }

  /** Leadership or the member is lost: nobody here will learn what becomes of what is placed. */
  failAll(reasons: { readonly queued: AshlarError; readonly placed: AshlarError }): void {
    for (const proposal of this.takeQueued()) this.refuse(proposal, reasons.queued);
    const placed = [...this.#placed.values()];
    this.#placed.clear();
    for (const { proposal } of placed) this.refuse(proposal, reasons.placed);
  }

  #release(proposal: PendingProposal): void {
    this.#count -= 1;
    this.#sizeBytes -= proposal.command.length;
    assert(this.#count >= 0 && this.#sizeBytes >= 0, "a command is forgotten once");
  }
}
