import { assert } from "../../shared/base/assert.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import { indexAfter } from "../raft/entries.ts";
import type { RaftNode } from "../raft/raft.ts";
import { noLeader, notLeader } from "./member-errors.ts";
import type { Proposals } from "./proposals.ts";
import type { Reads } from "./reads.ts";

/**
 * Proposes the queued commands to the core as one batch. If the core refuses the batch, rejects
 * each command with OVERLOADED or NOT_LEADER. Called once in each turn of the loop.
 */
export function proposeQueued(
  node: RaftNode,
  proposals: Proposals,
  leaderAddress: string | null,
): void {
  const queued = proposals.takeQueued();
  if (queued.length === 0) return;
  const result = node.propose(queued.map((proposal) => proposal.command));
  assert(result.kind !== "forwarded", "a follower does not forward proposals");
  if (result.kind === "refused") {
    const error =
      result.reason === "overloaded"
        ? new AshlarError(
            "OVERLOADED",
            "Cannot propose a command: too many bytes are not applied yet",
          )
        : notLeader(leaderAddress);
    for (const proposal of queued) proposals.refuse(proposal, error);
    return;
  }
  const { firstIndex, term } = result;
  let index = firstIndex;
  for (const proposal of queued) {
    proposals.noteAppended(proposal, { index, term });
    index = indexAfter(index);
  }
}

/**
 * Starts one ReadIndex round for all waiting reads. If the core refuses it, rejects the reads with
 * NO_LEADER or OVERLOADED. Called once in each turn of the loop.
 */
export function startReads(node: RaftNode, reads: Reads, nowMs: number): void {
  if (!reads.isWaiting) return;
  const result = node.readIndex();
  if (result.kind === "requested") {
    reads.start(result.readId, nowMs);
  } else if (result.reason === "no-leader") {
    reads.refuse(noLeader());
  } else {
    reads.refuse(
      new AshlarError("OVERLOADED", "Cannot confirm a read: too many reads are pending"),
    );
  }
}
