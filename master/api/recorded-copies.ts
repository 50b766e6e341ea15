import type { ChunkId, LogIndex, ServerId } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { findCopies, listCopies } from "../../shared/protocol/fleet-api.ts";

/** Chunks in one page: a few milliseconds. */
export const PAGE_CHUNKS = 1000;
/**
 * Time from one page to the next one, of all servers together: a small part of the leader's time, although
 * all chunkservers of a large cluster may start together.
 */
const PAGE_SPACING_MS = 25;
/** Longest time until a server may ask for its next page. */
const PAUSE_MS_MAX = 60_000;

/** The part of the state that the answers read. */
export interface CopiesState {
  readonly appliedIndex: LogIndex;
  chunk(chunkId: ChunkId): { readonly replicas: readonly RecordedCopy[] } | undefined;
  chunksOfServer(serverId: ServerId, after: ChunkId | null, limit: number): readonly ChunkId[];
}

interface RecordedCopy {
  readonly serverId: ServerId;
  readonly intentIndex: LogIndex;
}

type CopiesPage = ReturnType<(typeof listCopies)["parseResponse"]>;
type FoundCopies = ReturnType<(typeof findCopies)["parseResponse"]>;

/** The pages of `fleet.list-copies`. */
export class CopyPages {
  readonly #clock: Clock;
  /** Monotonic time for which the last page was reserved. */
  #lastPageMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Returns the chunks after `after` of which the state records a copy on the server. */
  page(state: CopiesState, serverId: ServerId, after: ChunkId | null): CopiesPage {
    const chunkIds = [...state.chunksOfServer(serverId, after, PAGE_CHUNKS)];
    const hasMore = chunkIds.length === PAGE_CHUNKS;
    const pauseMs = hasMore ? this.#reservePage() : 0;
    return { chunkIds, hasMore, index: state.appliedIndex, pauseMs };
  }

  /** Reserves the next free time for a page. Returns how long it is until then, in milliseconds. */
  #reservePage(): number {
    const nowMs = this.#clock.monotonicMs();
    const nextMs = Math.max(nowMs, this.#lastPageMs + PAGE_SPACING_MS);
    this.#lastPageMs = Math.min(nextMs, nowMs + PAUSE_MS_MAX);
    return Math.ceil(this.#lastPageMs - nowMs);
  }
}

/** Returns the copies of `chunkIds` that the state records on the server. */
export function copiesOf(
  state: CopiesState,
  serverId: ServerId,
  chunkIds: readonly ChunkId[],
): FoundCopies {
  const copies: FoundCopies["copies"] = [];
  for (const chunkId of chunkIds) {
    const replicas = state.chunk(chunkId)?.replicas;
    const replica = replicas?.find((each) => each.serverId === serverId);
    if (replica !== undefined) copies.push({ chunkId, intentIndex: replica.intentIndex });
  }
  return { copies };
}
