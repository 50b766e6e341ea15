import type { LogIndex, MemberId } from "../../shared/base/ids.ts";
import type { Core, Leader } from "./core.ts";
import { send, trackedMembers } from "./core.ts";
import { indexBefore, minIndex, payloadSizeBytes } from "./entries.ts";
import { INDEX_ZERO } from "./messages.ts";
import type { Progress } from "./progress.ts";
import { sendSnapshot } from "./snapshot.ts";
import type { EntriesResult } from "./storage.ts";

/** Whether to send an append request that has no entries, only a commit index. */
export type WhenEmpty = "send-empty" | "skip-empty";

/** Sends pending entries to every other member. */
export function broadcastAppend(core: Core, leader: Leader, whenEmpty: WhenEmpty): void {
  for (const [to, progress] of trackedMembers(leader)) {
    if (to !== core.id) sendAppend(core, { to, progress, whenEmpty });
  }
}

/**
 * Sends the next entries to one member, or a snapshot if the log no longer contains them.
 *
 * @returns whether a message was sent.
 */
export function sendAppend(
  core: Core,
  target: { readonly to: MemberId; readonly progress: Progress; readonly whenEmpty: WhenEmpty },
): boolean {
  const { to, progress, whenEmpty } = target;
  if (progress.isThrottled) return false;
  const previousIndex = indexBefore(progress.nextIndex);
  if (needsInitialSnapshot(core, to, previousIndex)) return sendSnapshot(core, to, progress);
  const previousTerm = core.log.term(previousIndex);
  if (previousTerm === null) return sendSnapshot(core, to, progress);
  const result = nextEntries(core, progress);
  if (result.kind === "compacted") return sendSnapshot(core, to, progress);
  const entries = result.kind === "entries" ? result.entries : [];
  if (entries.length === 0 && whenEmpty === "skip-empty") return false;
  const commitIndex = core.log.committedIndex;
  send(core, {
    kind: "append-request",
    from: core.id,
    to,
    term: core.term,
    previous: { index: previousIndex, term: previousTerm },
    entries,
    commitIndex,
  });
  progress.sentEntries(entries.length, payloadSizeBytes(entries));
  progress.sentCommit(commitIndex);
  return true;
}

/**
 * Returns whether `to` is a learner with an empty log that must start from a snapshot
 * (`snapshotFirst`).
 */
function needsInitialSnapshot(core: Core, to: MemberId, previousIndex: LogIndex): boolean {
  const { options, membership } = core;
  return options.snapshotFirst && previousIndex === INDEX_ZERO && membership.learners.includes(to);
}

/**
 * Returns the next entries for one member. Returns no entries if the window is full: an empty
 * request detects whether requests were lost.
 */
function nextEntries(core: Core, progress: Progress): EntriesResult {
  if (progress.state.kind === "replicate" && progress.inflights.isFull) {
    return { kind: "entries", entries: [] };
  }
  return core.log.entriesFrom(progress.nextIndex, core.options.messageBytesMax);
}

/** Sends a heartbeat to every other member. The replies also confirm pending reads. */
export function broadcastHeartbeat(core: Core, leader: Leader): void {
  const readSequence = leader.reads.sequence;
  const { id: from, term } = core;
  for (const [to, progress] of trackedMembers(leader)) {
    if (to === from) continue;
    // At most the matching index: after it, the entries of the member may differ.
    const commitIndex = minIndex(progress.matchIndex, core.log.committedIndex);
    send(core, { kind: "heartbeat-request", from, to, term, commitIndex, readSequence });
    progress.sentCommit(commitIndex);
  }
}
