import { formatSize } from "../../shared/display/format.ts";
import { formatDuration } from "../../shared/display/quantities.ts";
import type { ClusterStatus } from "../../shared/protocol/fleet-api.ts";

type Server = ClusterStatus["chunkservers"][number];

/** Space of a cluster in bytes, of the live chunkservers. */
export interface ClusterSpace {
  readonly totalBytes: number;
  readonly usedBytes: number;
  /** Bytes for new replicas. */
  readonly availableBytes: number;
  /** Bytes for new files: `availableBytes` by the replica count. Null if that is unknown. */
  readonly usableBytes: number | null;
  /**
   * Estimate of the used bytes that belong to removed or replaced files. Null if the replica count
   * is unknown.
   */
  readonly historyBytes: number | null;
  /** Groups of chunkservers whose data directories are on one disk. */
  readonly sharedDisks: ReadonlyArray<readonly Server[]>;
}

/** Adds up the space. A disk that several chunkservers share counts once. */
export function spaceOf({ chunkservers, namespace, defaultCopies }: ClusterStatus): ClusterSpace {
  const live = chunkservers.filter((server) => server.state === "live");
  const disks = [...groupByDisk(live).values()];
  const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
  const usedBytes = sum(live.map(({ space }) => space.usedBytes));
  const availableBytes = sum(
    disks.map((servers) => Math.min(...servers.map(({ space }) => space.availableBytes))),
  );
  const copies = defaultCopies ?? null;
  return {
    totalBytes: sum(
      disks.map((servers) => Math.max(...servers.map(({ space }) => space.totalBytes))),
    ),
    usedBytes,
    availableBytes,
    usableBytes: copies === null ? null : Math.floor(availableBytes / copies),
    historyBytes: copies === null ? null : Math.max(0, usedBytes - namespace.logicalBytes * copies),
    sharedDisks: disks.filter((servers) => servers.length > 1),
  };
}

/** Returns the servers by disk. A server that does not report its disk has one of its own. */
function groupByDisk(servers: readonly Server[]): Map<string, Server[]> {
  const disks = new Map<string, Server[]>();
  for (const server of servers) {
    const { host, serverId, space } = server;
    // The names of disks are those of one machine: the size tells apart equal host names.
    const isKnown = space.diskId !== undefined;
    const key = isKnown ? `${host} ${space.diskId} ${space.totalBytes}` : serverId;
    disks.set(key, [...(disks.get(key) ?? []), server]);
  }
  return disks;
}

/** Returns what the history keeps and how to free its space; null if it keeps no space. */
export function historySpaceText(status: ClusterStatus): string | null {
  const { historyBytes } = spaceOf(status);
  const { versions, retentionMs } = status.history;
  if (versions === 0 || historyBytes === null || historyBytes === 0) return null;
  return (
    `about ${formatSize(historyBytes, true)} of the used space belong to removed or replaced ` +
    `files, which the history keeps for ${formatDuration(retentionMs)}; to free them now: ashlar history trim`
  );
}
