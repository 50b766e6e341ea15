import type { trimHistory as method } from "../../shared/protocol/fleet-api.ts";
import { type MasterDeps, propose } from "./leader-context.ts";

/** Maximum number of records that one entry changes. Takes a few ms on every master. */
const RECORDS_MAX = 2_000;
/** Entries of one call. The caller repeats the call. */
const ENTRIES_MAX = 20;
/** A call ends when less than this is left of its time. */
const SLACK_MS = 500;

type Response = ReturnType<(typeof method)["parseResponse"]>;

/**
 * Raises the history floor over all states before this call and reclaims what only they show, as far
 * as the bounds of one call allow.
 */
export async function trimHistory(
  deps: MasterDeps,
  context: { readonly remainingMs: () => number },
): Promise<Response> {
  const index = deps.namespace().appliedIndex;
  for (let entry = 0; entry < ENTRIES_MAX && context.remainingMs() > SLACK_MS; entry += 1) {
    const namespace = deps.namespace();
    if (namespace.counters().historyVersions === 0) break;
    if (namespace.oldestReadableIndex() >= index) break;
    await propose(deps, { kind: "reclaim", recordsMax: RECORDS_MAX, versionsMax: 0 });
  }
  const namespace = deps.namespace();
  return {
    index,
    oldestIndex: namespace.oldestReadableIndex(),
    versions: namespace.counters().historyVersions,
  };
}
