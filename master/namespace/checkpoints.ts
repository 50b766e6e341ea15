import { equalBytes, toHex } from "../../shared/base/bytes.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex } from "../../shared/base/ids.ts";

/** What the state was at one index: members that agree have equal hashes. */
export interface StateMark {
  readonly index: LogIndex;
  readonly stateHash: Uint8Array;
}

/** Marks that are kept for who asks, and verdicts that wait for theirs. */
const MARKS_MAX = 8;

/**
 * The state hashes at checkpoint entries, and what the majority of the members found there.
 *
 * A mark is known once its changes are in the store; a verdict that comes earlier waits for it. A
 * member that was not there (a restart, a snapshot) has no mark and nothing to compare.
 */
export class Checkpoints {
  #marks: StateMark[] = [];
  #waiting: StateMark[] = [];

  /** The last marks, oldest first. */
  get marks(): readonly StateMark[] {
    return this.#marks;
  }

  /** @throws {AshlarError} STATE_DIVERGED if a verdict says otherwise. */
  addMark(mark: StateMark): void {
    this.#marks = [...this.#marks, mark].slice(-MARKS_MAX);
    const verdict = this.#waiting.find((each) => each.index === mark.index);
    this.#waiting = this.#waiting.filter((each) => each.index > mark.index);
    if (verdict !== undefined) requireEqualHashes(mark, verdict);
  }

  /**
   * @param durable the index that the store stands for: marks up to there are known or never will be
   * @throws {AshlarError} STATE_DIVERGED
   */
  compareWithMajority(verdict: StateMark, durable: LogIndex): void {
    const mark = this.#marks.find((each) => each.index === verdict.index);
    if (mark !== undefined) requireEqualHashes(mark, verdict);
    else if (verdict.index > durable) this.#waiting = [...this.#waiting, verdict].slice(-MARKS_MAX);
  }
}

function requireEqualHashes(mark: StateMark, verdict: StateMark): void {
  if (equalBytes(mark.stateHash, verdict.stateHash)) return;
  const { index } = mark;
  const stateHash = toHex(mark.stateHash);
  const expected = toHex(verdict.stateHash);
  throw new AshlarError(
    "STATE_DIVERGED",
    `Cannot go on: the state at index ${index} differs from that of the majority: expected hash ${expected}: it has ${stateHash}`,
    {
      details: { index, stateHash, expected },
      hint: "Remove `stores` in the data directory of this master and start it: it fetches the state from the others (docs/operations.md, A master has diverged)",
    },
  );
}
