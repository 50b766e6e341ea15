import { equalBytes, toHex } from "../../shared/base/bytes.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex } from "../../shared/base/ids.ts";

/** The hash of the state at one index. Members with equal states have equal hashes. */
export interface StateMark {
  readonly index: LogIndex;
  readonly stateHash: Uint8Array;
}

/** Own marks that are kept, and majority marks that wait for the own mark of their index. */
const MARKS_MAX = 8;

/**
 * Compares this member's state hashes at checkpoint entries with the hashes of the majority.
 *
 * The own mark of an index is known once the store contains the changes up to that index. A
 * majority mark that arrives earlier waits for the own mark. A member that restarted after the
 * checkpoint, or installed a snapshot of a later index, has no own mark of the checkpoint. It skips
 * the comparison.
 */
export class Checkpoints {
  #marks: StateMark[] = [];
  /** Majority marks whose own mark is not known yet, oldest first. */
  #waiting: StateMark[] = [];

  /** The last own marks, oldest first. At most MARKS_MAX. */
  get marks(): readonly StateMark[] {
    return this.#marks;
  }

  /**
   * Adds an own mark and compares it with the majority mark of its index, if one waits.
   *
   * @throws {AshlarError} STATE_DIVERGED if the hashes differ
   */
  addMark(mark: StateMark): void {
    this.#marks = [...this.#marks, mark].slice(-MARKS_MAX);
    const majority = this.#waiting.find((each) => each.index === mark.index);
    this.#waiting = this.#waiting.filter((each) => each.index > mark.index);
    if (majority !== undefined) requireEqualHashes(mark, majority);
  }

  /**
   * Compares a majority mark with the own mark of its index, now or when the own mark is added.
   *
   * @param durable the index of the state in the store. Own marks up to this index are either known
   *   already or will never be known.
   * @throws {AshlarError} STATE_DIVERGED if the hashes differ
   */
  compareWithMajority(majority: StateMark, durable: LogIndex): void {
    const mark = this.#marks.find((each) => each.index === majority.index);
    if (mark !== undefined) requireEqualHashes(mark, majority);
    else if (majority.index > durable) {
      this.#waiting = [...this.#waiting, majority].slice(-MARKS_MAX);
    }
  }
}

function requireEqualHashes(mark: StateMark, majority: StateMark): void {
  if (equalBytes(mark.stateHash, majority.stateHash)) return;
  const { index } = mark;
  const stateHash = toHex(mark.stateHash);
  const expected = toHex(majority.stateHash);
  throw new AshlarError(
    "STATE_DIVERGED",
    `Cannot continue with the state at index ${index}: expected the majority's hash ${expected}: current value is ${stateHash}`,
    {
      details: { index, stateHash, expected },
      hint: "Remove nothing. If no disk of a master was restored or set back, move `stores` out of the data directory of this master and start it: it fetches the state from the other masters (docs/operations.md, A master has diverged)",
    },
  );
}
