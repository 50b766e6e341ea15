import type { ClusterId, MemberId } from "../../shared/base/ids.ts";
import type { Disk } from "../../shared/ports/disk.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { OrderedStores } from "../../shared/ports/ordered-store.ts";
import type { Random } from "../../shared/ports/random.ts";
import { findEarlierLog } from "./earlier-log.ts";
import { openFounders } from "./founders.ts";
import { type MemberIdentity, openIdentity, PeerIncarnations } from "./identity.ts";
import { recordLostLog, refuseLostLog } from "./lost-log.ts";
import { RaftLog } from "./raft-log.ts";
import { refuseUnfinishedRestore } from "./restore-marker.ts";
import { StateStores } from "./state-stores.ts";

/** Options of `openMemberStorage`. */
export interface MemberStorageOptions {
  readonly disk: Disk;
  readonly stores: OrderedStores;
  readonly hasher: Hasher;
  readonly random: Random;
  readonly log: Log;
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
  /** Size at which a log segment is full. */
  readonly segmentBytes: number;
  /** Memory of the last log entries. */
  readonly cacheBytes: number;
  /** Size of the log that stays on disk. */
  readonly keptBytes: number;
  /** Founding members by the config. Used only while the log is empty. */
  readonly founders: readonly MemberId[];
}

/** The open data directory of one member. */
export interface OpenMemberStorage {
  readonly identity: MemberIdentity;
  /** The members before the first entry. */
  readonly founders: readonly MemberId[];
  readonly incarnations: PeerIncarnations;
  readonly log: RaftLog;
  readonly states: StateStores;
  readonly recordLostLog: (reason: string) => Promise<void>;
}

/**
 * Opens the data directory of a member, or creates it. The identity is checked first: the directory
 * of another member is not modified.
 *
 * @throws {AshlarError} WRONG_IDENTITY, LOG_CORRUPT, VERSION_MISMATCH, DISK_FAILED, NO_SPACE
 */
export async function openMemberStorage(options: MemberStorageOptions): Promise<OpenMemberStorage> {
  await refuseUnfinishedRestore(options.disk);
  const identity = await openIdentity(options, options);
  const incarnations = await PeerIncarnations.open(options);
  await refuseLostLog(options);
  const { wasSegmentDurable, wasLogBegun } = await findEarlierLog(options.disk);
  const states = await StateStores.open({ ...options, wasLogBegun });
  const log = await RaftLog.open({ ...options, wasSegmentDurable });
  const { entries, hardState } = log;
  const hasVotedOrEntries = entries.lastIndex > 0 || hardState.term > 0;
  const founders = await openFounders(options, { configured: options.founders, hasVotedOrEntries });
  return {
    ...{ identity, founders, incarnations, log, states },
    recordLostLog: (reason) => recordLostLog(options, reason),
  };
}
