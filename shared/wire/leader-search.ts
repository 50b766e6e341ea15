import { type AshlarError, isAshlarError } from "../base/errors.ts";

/** Hints are followed at once so many times in a row: two masters may each take the other for the leader. */
const HINTS_MAX = 3;

/**
 * Which master is asked next: the one that is said to lead, then all others, in rounds.
 *
 * Pure: the caller makes the attempts, and waits between rounds.
 */
export class LeaderSearch {
  /** Masters that this round has not asked yet. */
  #untried: string[];
  #hintCount = 0;
  /** Rounds that have failed. */
  #roundCount = 0;

  constructor(first: string | null, addresses: readonly string[]) {
    this.#untried = inOrder(first, addresses);
  }

  /** The next address, or null at the end of a round: wait, then begin the next. */
  next(): string | null {
    return this.#untried.shift() ?? null;
  }

  get roundCount(): number {
    return this.#roundCount;
  }

  beginRound(first: string | null, addresses: readonly string[]): void {
    this.#roundCount += 1;
    this.#hintCount = 0;
    this.#untried = inOrder(first, addresses);
  }

  /** The attempt at `address` failed. A server that is overloaded, or has no leader, ends the round. */
  onFailed(address: string, error: AshlarError): void {
    const hint = leaderHintOf(error);
    if (hint !== null && hint !== address && this.#hintCount < HINTS_MAX) {
      this.#hintCount += 1;
      this.#untried = [hint, ...this.#untried.filter((other) => other !== hint)];
      return;
    }
    // The leader itself has spoken: the others would only point back to it.
    if (!mayOtherMasterAnswer(error)) this.#untried = [];
  }
}

function inOrder(first: string | null, addresses: readonly string[]): string[] {
  return [...new Set(first === null ? addresses : [first, ...addresses])];
}

/** The leader's address in a NOT_LEADER, if the master that refused knows it. */
export function leaderHintOf(error: AshlarError): string | null {
  const hint = error.details["leaderAddress"];
  return isAshlarError(error, "NOT_LEADER") && typeof hint === "string" ? hint : null;
}

/** Where the masters are, if a master that refused says so. */
export function mastersHintOf(error: AshlarError): readonly string[] {
  const hint = error.details["masters"];
  if (!Array.isArray(hint)) return [];
  return hint.filter((address): address is string => typeof address === "string");
}

/** Whether another master may do better. */
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
