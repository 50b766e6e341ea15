import type { ChunkId, ServerId } from "../../shared/base/ids.ts";
import type { ServerLocation } from "../../shared/protocol/intent.ts";

/** The copies of a chunk, as far as repair can use them. */
export interface ChunkCopies {
  readonly chunkId: ChunkId;
  readonly lengthBytes: number;
  readonly copiesWanted: number;
  /** Servers that have, or may still have, a copy. They cannot be targets. Sorted by id. */
  readonly holders: readonly ServerId[];
  /** Available holders. Only their copies count. */
  readonly live: readonly ServerLocation[];
  /** Holders whose disk failed and that still serve reads: sources if no live copy exists. */
  readonly failing: readonly ServerLocation[];
  /** First holder that is not available. Null if all are. */
  readonly firstMissing: ServerId | null;
  /** Whether the missing copies are replaced now, and not after the repair delay. */
  readonly isDue: boolean;
}

/** What `copiesOf` needs to know of the servers. Implemented by the registry. */
export interface HolderStates {
  location(serverId: ServerId): ServerLocation | undefined;
  isAvailable(serverId: ServerId): boolean;
  isReachable(serverId: ServerId): boolean;
  isRepairDue(serverId: ServerId): boolean;
}

/**
 * The classes of chunks with too few live copies, the most endangered first. Class 0 is unreadable:
 * no copy can be read. Class 1 has copies on failed disks only. A chunk with n live copies is in
 * class 2n if its repair is due, and in class 2n + 1 until the repair delay has passed.
 */
export type DangerClass = number;

/** The class of the chunks that cannot be repaired: no server has a readable copy. */
export const UNREADABLE: DangerClass = 0;
const ON_FAILED_DISKS: DangerClass = 1;

/** Returns whether the chunks of a class wait for the repair delay. */
export function isDelayed(dangerClass: DangerClass): boolean {
  return dangerClass > ON_FAILED_DISKS && dangerClass % 2 === 1;
}

/** Returns which copies of a chunk can be used. */
export function copiesOf(
  chunkId: ChunkId,
  chunk: {
    readonly lengthBytes: number;
    readonly copiesWanted: number;
    readonly replicas: readonly { readonly serverId: ServerId }[];
  },
  servers: HolderStates,
): ChunkCopies {
  const { lengthBytes, copiesWanted, replicas } = chunk;
  const holders: ServerId[] = [];
  const live: ServerLocation[] = [];
  const failing: ServerLocation[] = [];
  let firstMissing: ServerId | null = null;
  let isDue = replicas.length < copiesWanted;
  for (const { serverId } of replicas) {
    holders.push(serverId);
    const location = servers.location(serverId);
    if (location !== undefined && servers.isAvailable(serverId)) {
      live.push(location);
      continue;
    }
    firstMissing ??= serverId;
    if (location !== undefined && servers.isReachable(serverId)) failing.push(location);
    isDue ||= servers.isRepairDue(serverId);
  }
  // A restart is the usual cause of a missing server, so repair waits. It does not wait for the last
  // copy of a chunk that should have several.
  if (live.length === 0 || (live.length === 1 && copiesWanted > 1)) isDue = true;
  return { chunkId, lengthBytes, copiesWanted, holders, live, failing, firstMissing, isDue };
}

/** Returns the number of missing copies. */
export function copiesMissing({ copiesWanted, live }: ChunkCopies): number {
  return Math.max(0, copiesWanted - live.length);
}

/** Returns whether the wanted number of copies certainly counts: see `FleetView.hasCertainCopies`. */
export function areCopiesCertain(
  { live, copiesWanted }: ChunkCopies,
  servers: { hasCertainCopies(serverId: ServerId): boolean },
): boolean {
  const certain = live.filter(({ serverId }) => servers.hasCertainCopies(serverId));
  return certain.length >= copiesWanted;
}

/** Returns the servers from which a copy can be made. A failed disk only if there is no other. */
export function sourcesOf({ live, failing }: ChunkCopies): readonly ServerLocation[] {
  return live.length > 0 ? live : failing;
}

/** Returns the class of a chunk with missing copies. */
export function classOf(copies: ChunkCopies): DangerClass {
  const { live, isDue } = copies;
  if (live.length > 0) return 2 * live.length + (isDue ? 0 : 1);
  return sourcesOf(copies).length > 0 ? ON_FAILED_DISKS : UNREADABLE;
}
