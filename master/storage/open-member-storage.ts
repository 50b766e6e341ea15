import type { ClusterId, MemberId } from "../../shared/base/ids.ts";
import type { Disk } from "../../shared/ports/disk.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { OrderedStores } from "../../shared/ports/ordered-store.ts";
import type { Random } from "../../shared/ports/random.ts";
import { openFounders } from "./founders.ts";
import { type MemberIdentity, openIdentity, PeerIncarnations } from "./identity.ts";
import { RaftLog } from "./raft-log.ts";
import { refuseUnfinishedRestore } from "./restore-marker.ts";
import { StateStores } from "./state-stores.ts";

export interface MemberStorageOptions {
  readonly disk: Disk;
  readonly stores: OrderedStores;
  readonly hasher: Hasher;
  readonly random: Random;
  readonly log: Log;
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
  readonly segmentBytes: number;
  /** What the config says of the founders: it counts for a new directory. */
  readonly founders: readonly MemberId[];
}

/** All that one member keeps on disk. */
export interface OpenMemberStorage {
  readonly identity: MemberIdentity;
  /** The members before the first entry. */
  readonly founders: readonly MemberId[];
  readonly incarnations: PeerIncarnations;
  readonly log: RaftLog;
  readonly states: StateStores;
}

/**
 * Opens the member's data directory, or founds it. Whose it is comes first: nothing else is
 * touched in a directory that is another member's.
 *
 * @throws {AshlarError} WRONG_IDENTITY, LOG_CORRUPT, VERSION_MISMATCH, DISK_FAILED, NO_SPACE
 */
export async function openMemberStorage(options: MemberStorageOptions): Promise<OpenMemberStorage> {
  await refuseUnfinishedRestore(options.disk);
  const identity = await openIdentity(options, options);
  const founders = await openFounders(options, options.founders);
  const incarnations = await PeerIncarnations.open(options);
  const states = await StateStores.open(options);
  const log = await RaftLog.open(options);
  return { identity, founders, incarnations, log, states };
}
