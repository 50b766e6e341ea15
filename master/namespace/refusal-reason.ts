import type { ErrorCode } from "../../shared/base/errors.ts";

/** A fact of a refusal. Text of users in it (paths, names) is bounded. */
type Fact = string | number | null;

/** The facts of a refusal by their names. */
export type Facts = Readonly<Record<string, Fact>>;

/** The code of a reason, and its words for a person. */
export interface ReasonEntry<Known extends Facts> {
  readonly code: ErrorCode;
  readonly words: (facts: Known) => string;
}

/** Makes an entry of the catalog: see refusal-words.ts. */
export function reason<Known extends Facts>(
  code: ErrorCode,
  words: (facts: Known) => string,
): ReasonEntry<Known> {
  return { code, words };
}
