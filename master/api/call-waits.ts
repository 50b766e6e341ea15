import type { LogIndex } from "../../shared/base/ids.ts";
import type { CallContext } from "../../shared/wire/rpc.ts";
import type { Consensus } from "../consensus.ts";

/*
 * The waits of a handler for the state. All calls that wait for one event resume in one turn of the event loop, so
 * each wait ends with `CallContext.turn`: see `TurnSlices`. Handlers have no other way to wait for a read of the
 * state (test/lint/call-waits.test.ts). After `propose` little work remains: a handler with more calls `turn`.
 */

interface WaitDeps {
  readonly consensus: Pick<Consensus, "confirmRead" | "waitApplied">;
}

/** The caller of a wait. */
export type WaitContext = Pick<CallContext, "isAborted" | "remainingMs" | "turn">;

/**
 * Resolves in a turn of the caller when the state includes every write that was acknowledged before the call.
 * Returns the index that the leader confirmed.
 *
 * @throws {AshlarError} the errors of `Consensus.confirmRead` and of `CallContext.turn`
 */
export async function confirmRead(
  { consensus }: WaitDeps,
  context: WaitContext,
): Promise<LogIndex> {
  const index = await consensus.confirmRead(context.remainingMs(), context);
  await context.turn();
  return index;
}

/**
 * Resolves in a turn of the caller when the state includes `index`.
 *
 * @throws {AshlarError} the errors of `Consensus.waitApplied` and of `CallContext.turn`
 */
export async function waitApplied(
  { consensus }: WaitDeps,
  index: LogIndex,
  context: WaitContext,
): Promise<void> {
  await consensus.waitApplied(index, context.remainingMs(), context);
  await context.turn();
}
