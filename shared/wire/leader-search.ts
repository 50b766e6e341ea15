import { type AshlarError, isAshlarError } from "../base/errors.ts";

/** Largest number of hints followed in a row. Two masters may name each other as the leader. */
const HINTS_MAX = 3;

/**
 * Decides which master to call next: the probable leader, then all others, in rounds.
 *
 * Pure: the caller makes the attempts and waits between rounds.
 */
export class LeaderSearch {
  /** Masters that were not called in this round yet. */
  #untried: string[];
  #hintCount = 0;
  /** Number of rounds that have failed. */
  #roundCount = 0;

  constructor(first: string | null, addresses: readonly string[]) {
    this.#untried = inOrder(first, addresses);
  }

  /** Returns the next address, or null at the end of a round. */
  next(): string | null {
    return this.#untried.shift() ?? null;
  }

  get roundCount(): number {
    return this.#roundCount;
  }

  /** Starts another round with the masters that are known now. */
  beginRound(first: string | null, addresses: readonly string[]): void {
    this.#roundCount += 1;
    this.#hintCount = 0;
    this.#untried = inOrder(first, addresses);
  }

  /**
   * The attempt at `address` failed. A hint to the leader determines the next address. An error of
   * the leader, such as OVERLOADED, ends the round.
   */
  onFailed(address: string, error: AshlarError): void {
    const hint = leaderHintOf(error);
    if (hint !== null && hint !== address && this.#hintCount < HINTS_MAX) {
      this.#hintCount += 1;
      this.#untried = [hint, ...this.#untried.filter((other) => other !== hint)];
      return;
    }
    // The error is from the leader: the other masters would only return its address again.
    if (!mayOtherMasterAnswer(error)) this.#untried = [];
  }
}

function inOrder(first: string | null, addresses: readonly string[]): string[] {
  return [...new Set(first === null ? addresses : [first, ...addresses])];
}

/** Returns the leader's address in a NOT_LEADER error, or null if the error has no address. */
export function leaderHintOf(error: AshlarError): string | null {
  const hint = error.details["leaderAddress"];
  return isAshlarError(error, "NOT_LEADER") && typeof hint === "string" ? hint : null;
}

/**
 * Returns the addresses of the masters in `details.masters` of an error; empty if there are none.
 */
export function mastersHintOf(error: AshlarError): readonly string[] {
  const hint = error.details["masters"];
  if (!Array.isArray(hint)) return [];
  return hint.filter((address): address is string => typeof address === "string");
}

/** Returns whether another master may answer the call that failed with this error. */
export function mayOtherMasterAnswer({ code }: AshlarError): boolean {
  return (
    code === "NOT_LEADER" ||
    code === "NO_LEADER" ||
    code === "MASTER_REMOVED" ||
    code === "UNAVAILABLE" ||
    code === "CONNECTION_LOST" ||
    code === "DEADLINE_EXCEEDED" ||
    code === "COMMIT_UNKNOWN"
  );
}
