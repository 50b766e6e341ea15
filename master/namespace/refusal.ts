import { AshlarError, type ErrorCode } from "../../shared/base/errors.ts";
import { displayName, joinPath } from "../../shared/base/path.ts";
import type { Target } from "../../shared/protocol/namespace-api.ts";
import { type ByteText, nameBytes } from "./keys.ts";
import type { Facts } from "./refusal-reason.ts";
import { type FactsOf, REASONS, type Reason, wordsOfRefusal } from "./refusal-words.ts";

/** Machine-readable facts for the caller: `details` of the error. */
type Details = Readonly<Record<string, unknown>>;

/**
 * The refusal of a command or a query because of the current state. The checks throw it. The entry
 * point of a command turns it into an `Outcome`, the entry point of a query into an `AshlarError`.
 *
 * This class is separate from `AshlarError`, so that an error of the disk or the process is never
 * mistaken for an outcome, which must be the same on every member. Outcomes are stored in the state,
 * so a refusal has a reason and facts, and no words: see refusal-words.ts.
 */
export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly code: ErrorCode;
  readonly reason: Reason;
  readonly facts: Facts;
  readonly details: Details;
  /** The whole target of the refused lookup and its path. Not stored: only refusal-words-0-1.ts uses it. */
  readonly lookup: RefusedLookup | null;

  constructor(
    reason: Reason,
    facts: Facts,
    { details = {}, lookup = null }: { details?: Details; lookup?: RefusedLookup | null } = {},
  ) {
    super(reason);
    this.code = REASONS[reason].code;
    this.reason = reason;
    this.facts = facts;
    this.details = details;
    this.lookup = lookup;
  }
}

/** The target of a lookup that was refused. */
export interface RefusedLookup {
  readonly target: Target;
  /** Returns the path of the whole target, as `showTarget`. */
  readonly path: () => string;
}

/** Returns a refusal. Its code is that of the reason. */
export function refusal<Id extends Reason>(
  reason: Id,
  facts: FactsOf<Id>,
  details: Details = {},
): Refusal {
  return new Refusal(reason, facts as Facts, { details });
}

/** Runs a query and turns its refusal into an `AshlarError`. */
export function runQuery<T>(query: () => T): T {
  try {
    return query();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const { code, details } = error;
    throw new AshlarError(code, wordsOfRefusal(error), { cause: error, details });
  }
}

/** Bound of the names of a path in a message. The middle of a longer path is replaced by "...". */
const SHOWN_NAMES_MAX = 40;

/** Returns the path of `names` for a message. */
export function showPath(names: readonly ByteText[]): string {
  return displayName(joinPath(shownNames(names).map(nameBytes)));
}

function shownNames(names: readonly ByteText[]): readonly ByteText[] {
  if (names.length <= SHOWN_NAMES_MAX) return names;
  const half = SHOWN_NAMES_MAX / 2;
  return [...names.slice(0, half), "...", ...names.slice(-half)];
}
