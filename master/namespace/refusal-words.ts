import type { ErrorCode } from "../../shared/base/errors.ts";
import { isPathErrorCode, pathErrorMessage } from "../../shared/base/path-errors.ts";
import { CLUSTER_REASONS } from "./cluster-reasons.ts";
import { CONTENT_REASONS } from "./content-reasons.ts";
import type { Facts, ReasonEntry } from "./refusal-reason.ts";
import { TREE_REASONS } from "./tree-reasons.ts";

/**
 * Every reason for a refusal: its code, and its words as a function of its facts.
 *
 * The state stores the id of a reason and its facts. The words are made where an answer leaves the
 * master, so they may change. An id, its code and the names and meanings of its facts never change:
 * a refusal with other facts has a new id.
 */
export const REASONS = { ...TREE_REASONS, ...CONTENT_REASONS, ...CLUSTER_REASONS };

/** The id of a reason. */
export type Reason = keyof typeof REASONS;

/** The facts of a reason. */
export type FactsOf<Id extends Reason> =
  Parameters<(typeof REASONS)[Id]["words"]> extends []
    ? Readonly<Record<never, never>>
    : Parameters<(typeof REASONS)[Id]["words"]>[0];

/** A refusal as the state stores it. */
interface StoredReason {
  readonly code: ErrorCode;
  readonly reason: string;
  readonly facts: Facts;
}

/** Returns the words of a refusal. A newer version may have stored a reason that is not in `REASONS`. */
export function wordsOfRefusal({ code, reason, facts }: StoredReason): string {
  const known = isKnown(reason) ? (REASONS[reason] as ReasonEntry<Facts>) : undefined;
  if (known?.code === code) return known.words(facts);
  const path = facts["path"];
  if (isPathErrorCode(code) && typeof path === "string") return pathErrorMessage(code, path);
  return `Cannot apply the change: a newer version refused it with ${code} (${reason})`;
}

const isKnown = (reason: string): reason is Reason => Object.hasOwn(REASONS, reason);
