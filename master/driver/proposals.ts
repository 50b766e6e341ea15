import { assert } from "../../shared/base/assert.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex } from "../../shared/base/ids.ts";
import type { Applied } from "../consensus.ts";
import type { EntryPosition } from "../raft/messages.ts";
import type { DriverLimits } from "./driver.ts";

/** A command whose caller waits for the outcome. */
export interface PendingProposal {
  readonly command: Uint8Array;
  readonly resolve: (applied: Applied) => void;
  readonly reject: (error: AshlarError) => void;
}

interface AppendedProposal {
  readonly proposal: PendingProposal;
  readonly term: EntryPosition["term"];
}

/** Largest command, in bytes. An entry must fit into one message. */
const PROPOSAL_BYTES_MAX = 4 * 1024 * 1024;
const NO_COMMAND = new Uint8Array(0);

/**
 * The pending commands: queued for the next turn, or appended to the log and not yet applied.
 *
 * Invariant: each caller gets exactly one answer. A caller gets an outcome only from the entry with
 * its command: the entry at the index of the append, in the same term.
 */
export class Proposals {
  readonly #countMax: number;
  readonly #bytesMax: number;
  #queued: PendingProposal[] = [];
  readonly #appended = new Map<LogIndex, AppendedProposal>();
  #count = 0;
  #sizeBytes = 0;

  constructor(limits: Pick<DriverLimits, "proposalsMax" | "proposalBytesMax">) {
    this.#countMax = limits.proposalsMax;
    this.#bytesMax = limits.proposalBytesMax;
  }

  /** Number of pending commands. */
  get count(): number {
    return this.#count;
  }

  /**
   * Queues a command for the next turn. Resolves with its outcome when it is applied.
   *
   * @throws {AshlarError} TOO_LARGE, OVERLOADED, and the errors of `Consensus.propose`
   */
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
    assert(command.length > 0, "a command is not empty: empty entries belong to the leader");
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
      `Cannot propose a command: ${this.#count} commands of ${this.#sizeBytes} bytes are pending`,
    );
  }

  /** Returns the queued commands and empties the queue. */
  takeQueued(): PendingProposal[] {
    const queued = this.#queued;
    this.#queued = [];
    return queued;
  }

  /** Records that the command is in the log at `position`. It is not committed yet. */
  noteAppended(proposal: PendingProposal, position: EntryPosition): void {
    assert(!this.#appended.has(position.index), "an index has at most one pending command");
    this.#appended.set(position.index, { proposal, term: position.term });
  }

  /** Resolves when the entry at `position`, which has no command and is in the log, is applied. */
  waitFor(position: EntryPosition): Promise<Applied> {
    this.#count += 1;
    return new Promise((resolve, reject) => {
      this.noteAppended({ command: NO_COMMAND, resolve, reject }, position);
    });
  }

  /** Rejects a command that is not in the log. */
  refuse(proposal: PendingProposal, error: AshlarError): void {
    this.#release(proposal);
    proposal.reject(error);
  }

  /** Answers the command that was appended at the index of the applied entry, if there is one. */
  settle(position: EntryPosition, outcome: unknown): void {
    const appended = this.#appended.get(position.index);
    if (appended === undefined) return;
    this.#appended.delete(position.index);
    const { proposal, term } = appended;
    this.#release(proposal);
    if (term === position.term) {
      proposal.resolve({ index: position.index, outcome });
      return;
    }
    // Another leader's entry was committed at this index, so the command can never be committed.
    proposal.reject(
      new AshlarError(
        "NOT_LEADER",
        "Cannot commit the command: a new leader has replaced its entry",
      ),
    );
  }

  /**
   * Rejects all commands, after this member lost its leadership or halted. This member no longer
   * learns the outcome of the appended commands.
   */
  failAll(reasons: { readonly queued: AshlarError; readonly appended: AshlarError }): void {
    for (const proposal of this.takeQueued()) this.refuse(proposal, reasons.queued);
    const appended = [...this.#appended.values()];
    this.#appended.clear();
    for (const { proposal } of appended) this.refuse(proposal, reasons.appended);
  }

  #release(proposal: PendingProposal): void {
    this.#count -= 1;
    this.#sizeBytes -= proposal.command.length;
    assert(this.#count >= 0 && this.#sizeBytes >= 0, "a command is released once");
  }
}
