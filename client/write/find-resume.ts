import { isAshlarError } from "../../shared/base/errors.ts";
import type { ServerId } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { ServerAddress } from "../chunkservers/chunkservers.ts";
import { type ChainServer, findSlowest, planResume, type ResumePlan } from "./plan-resume.ts";

/** Time in which a server that has the only copy of released bytes must answer. */
const SEARCH_MS_MAX = 30_000;
const SEARCH_INTERVAL_MS = 500;

/** Dependencies of `findResume`. */
export interface FindResumeDeps {
  readonly clock: Clock;
  /** Aborts when the write must end. */
  readonly signal: AbortSignal;
  /** Returns the bytes of the partial chunk on a server. Rejects with an AshlarError. */
  readonly ask: (server: ServerAddress) => Promise<number>;
}

/** A chain that broke. */
export interface BrokenChain {
  /** Servers of the chain, in its order. */
  readonly servers: readonly ServerAddress[];
  /** The server that broke the chain, if known. */
  readonly blamed: ServerId | null;
  /** Whether the chain stalled, and any of its servers may be the cause. */
  readonly isStalled: boolean;
  /** Offset of the first byte that the writer can send again. */
  readonly firstKeptBytes: number;
  /** Bytes of the chunk so far. */
  readonly lengthBytes: number;
}

/**
 * Asks the servers of a broken chain for their bytes and plans how the write continues.
 *
 * A server whose answer fails or exceeds its timeout is excluded from the chain. A busy server, or one whose
 * connection was lost, still has its partial chunk. So if only excluded servers can have bytes that the writer has
 * released, all are asked again, and the blamed one too.
 *
 * @throws the reason of the signal
 */
export async function findResume(deps: FindResumeDeps, broken: BrokenChain): Promise<ResumePlan> {
  const { clock, signal, ask } = deps;
  const { firstKeptBytes, lengthBytes } = broken;
  const startMs = clock.monotonicMs();
  for (let { blamed } = broken; ; blamed = null) {
    const servers = await Promise.all(
      broken.servers.map((server) => stateOf(ask, server, server.serverId === blamed)),
    );
    signal.throwIfAborted();
    const suspect = blamed ?? (broken.isStalled ? findSlowest(servers) : null);
    const plan = planResume({ servers, blamed: suspect, firstKeptBytes, lengthBytes });
    if (plan.kind !== "lost") return plan;
    const unsuspected = planResume({ servers, blamed: null, firstKeptBytes, lengthBytes });
    if (unsuspected.kind !== "lost") return unsuspected;
    const isKnown = blamed === null && servers.every(({ receivedBytes }) => receivedBytes !== null);
    if (isKnown || clock.monotonicMs() - startMs >= SEARCH_MS_MAX) return plan;
    await clock.sleep(SEARCH_INTERVAL_MS, signal);
  }
}

async function stateOf(
  ask: FindResumeDeps["ask"],
  { serverId, address }: ServerAddress,
  isBlamed: boolean,
): Promise<ChainServer> {
  if (isBlamed) return { serverId, address, receivedBytes: null };
  try {
    return { serverId, address, receivedBytes: await ask({ serverId, address }) };
  } catch (error) {
    // A live server without data of this write may be part of the next chain.
    const receivedBytes = isAshlarError(error, "CHUNK_NOT_FOUND") ? 0 : null;
    return { serverId, address, receivedBytes };
  }
}
