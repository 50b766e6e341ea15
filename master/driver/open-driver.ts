import { assert } from "../../shared/base/assert.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import type { MemberId } from "../../shared/base/ids.ts";
import { entriesLost, REPLACE_HINT } from "../lost-entries.ts";
import { maxIndex } from "../raft/entries.ts";
import { INDEX_ZERO, type Membership, NO_MEMBER, TERM_ZERO } from "../raft/messages.ts";
import { createRaftNode } from "../raft/raft.ts";
import { CoreStorage } from "./core-storage.ts";
import {
  DEFAULT_LIMITS,
  DEFAULT_TIMING,
  type Driver,
  type DriverOptions,
  type DriverTiming,
} from "./driver.ts";
import { fetchState } from "./fetch-state.ts";
import { Founding } from "./founding.ts";
import { LoadedEntries } from "./loaded-entries.ts";
import { Member } from "./member.ts";
import type { MemberStorage } from "./member-storage.ts";
import { encodeFounding, encodeMembershipRecord } from "./membership-record.ts";
import { durableMembership, MembershipState } from "./membership-state.ts";
import { type Origin, originOf } from "./origin.ts";
import type { OwnIdentity } from "./peer-handshake.ts";
import { TICKS_PER_HEARTBEAT } from "./raft-loop.ts";
import { StateHolder } from "./state-holder.ts";

/**
 * Opens or creates the data directory of a member and starts the member.
 *
 * Resolves when the state is open. The member may not know a leader yet. The caller registers the
 * handlers (`registerRaftHandlers`) and listens, before or after: the peers retry. A member that lost
 * its state and kept its log first fetches a state from a peer. It serves nothing until then.
 *
 * @throws {AshlarError} WRONG_IDENTITY if the directory belongs to another member; LOG_CORRUPT if the
 *   log is damaged; VERSION_MISMATCH if a newer version wrote it; INVALID_ARGUMENT; DISK_FAILED;
 *   NO_SPACE; the reason of `options.signal`
 */
export async function openDriver(options: DriverOptions): Promise<Driver> {
  const timing = { ...DEFAULT_TIMING, ...pickTiming(options.timing ?? {}) };
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const storage = await options.openStorage({
    ...options,
    ...options.env,
    segmentBytes: limits.logSegmentBytes,
    cacheBytes: limits.logCacheBytes,
    keptBytes: limits.logKeptBytes,
    founders: foundersOf(options),
  });
  const { clusterId, memberId } = options;
  const address = options.members.find((member) => member.id === memberId)?.address ?? "";
  let holder: StateHolder | null = null;
  const origin = (): Origin => (holder === null ? undefined : originOf(holder.machine));
  const own = { clusterId, memberId, incarnation: storage.identity.incarnation, address, origin };
  try {
    options.signal?.throwIfAborted();
    const { log } = options.env;
    const { openStateMachine } = options;
    holder = await StateHolder.open({ states: storage.states, openStateMachine, log });
    const opening = { options, timing, own, storage, holder };
    await storage.log.settleDamage(holder.machine.durable.index);
    await completeState(opening);
    await alignLogToState(opening);
  } catch (error) {
    await holder?.close();
    await storage.log.close();
    throw error;
  }
  const { machine } = holder;
  const founders = { ...NO_MEMBERS, voters: storage.founders };
  const membershipState = membershipStateOf({ options, own, storage, holder }, founders);
  const { restored } = machine;
  const founding = new Founding({
    ...options.env,
    own,
    founders: restored === undefined ? storage.founders : membershipState.membership.voters,
    incarnations: storage.incarnations,
    isUnused: isUnused({ storage, holder }),
    term: restored?.term ?? TERM_ZERO,
  });
  const loaded = new LoadedEntries(storage.log, limits.logReadBytes);
  const node = createRaftNode({
    id: memberId,
    storage: new CoreStorage({ log: storage.log, loaded, machine: machineOf(holder), founders }),
    random: () => options.env.random.fraction(),
    appliedIndex: machine.appliedIndex,
    heartbeatTicks: TICKS_PER_HEARTBEAT,
    electionTicks: Math.ceil(
      (timing.electionTimeoutMsMin * TICKS_PER_HEARTBEAT) / timing.heartbeatIntervalMs,
    ),
    uncommittedBytesMax: limits.proposalBytesMax,
    snapshotFirst: true,
    foundingData: () => encodeFounding({ membership: founders, members: founding.records }),
  });
  return new Member({
    options,
    timing,
    limits,
    own,
    storage,
    holder,
    loaded,
    node,
    founders,
    founding,
    membershipState,
  });
}

/** Returns whether the member has neither voted nor stored an entry since the beginning of its log. */
function isUnused({ storage, holder }: Pick<Opening, "storage" | "holder">): boolean {
  const { durable, restored } = holder.machine;
  const { index, term } = restored ?? { index: INDEX_ZERO, term: TERM_ZERO };
  const { entries, hardState } = storage.log;
  const hasVoted = hardState.term !== term || hardState.votedFor !== NO_MEMBER;
  return entries.lastIndex === index && durable.index === index && !hasVoted;
}

function machineOf(holder: StateHolder): () => StateHolder["machine"] {
  return () => holder.machine;
}

/** Returns the timing keys of `given`, which may be a whole config with other keys. */
function pickTiming(given: Partial<DriverTiming>): Partial<DriverTiming> {
  const keys = Object.keys(DEFAULT_TIMING) as (keyof DriverTiming)[];
  return Object.fromEntries(
    keys.filter((key) => given[key] !== undefined).map((key) => [key, given[key]]),
  );
}

/** Returns the encoded membership record of a new group with these voters. */
export function foundingRecord(voters: readonly MemberId[]): Uint8Array {
  return encodeMembershipRecord({ membership: { ...NO_MEMBERS, voters }, members: [] });
}

const NO_MEMBERS: Membership = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

function membershipStateOf(
  { options, own, storage, holder }: Pick<Opening, "options" | "own" | "storage" | "holder">,
  founders: Membership,
): MembershipState {
  const { memberId } = own;
  const { incarnations } = storage;
  const stateOptions = { ownId: memberId, configured: options.members, founders, incarnations };
  return new MembershipState(stateOptions, durableMembership(holder.machine));
}

/**
 * Returns the voters of a new cluster, by ascending id. Empty if this member joins a running cluster.
 *
 * @throws {AshlarError} INVALID_ARGUMENT if an id occurs twice, or the id of this member is missing
 */
export function foundersOf({
  members,
  memberId,
  join,
  foundWithout = [],
}: Pick<DriverOptions, "members" | "memberId" | "join" | "foundWithout">): readonly MemberId[] {
  const voters = members.map((member) => member.id).sort((left, right) => left - right);
  if (new Set(voters).size !== voters.length) {
    throw new AshlarError("INVALID_ARGUMENT", "Cannot use the members: expected each id once");
  }
  if (!voters.includes(memberId)) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot use the members: expected this member, ${memberId}, among them`,
    );
  }
  if (join === true) return [];
  assert(!foundWithout.includes(memberId), "a member does not found a cluster without itself");
  return voters.filter((id) => !foundWithout.includes(id));
}

interface Opening {
  readonly options: DriverOptions;
  readonly timing: DriverTiming;
  readonly own: OwnIdentity;
  readonly storage: MemberStorage;
  readonly holder: StateHolder;
}

/**
 * Fetches the state from a peer if the local state ends before the log begins. In that case the local
 * state was damaged and is empty, and the compacted log cannot rebuild it. Log, term and vote are
 * unchanged, so the member keeps every promise that it made. It serves nothing until it has a state.
 */
async function completeState(opening: Opening): Promise<void> {
  const { options, timing, own, storage, holder } = opening;
  const indexMin = storage.log.entries.base.index;
  if (holder.machine.durable.index >= indexMin) return;
  options.env.log.warn("The state is lost: fetching it from a peer", { indexMin });
  await fetchState({
    ...options.env,
    own,
    incarnations: storage.incarnations,
    connect: options.connect,
    timeoutMs: timing.connectTimeoutMs,
    stallMs: timing.snapshotStallMs,
    signal: options.signal ?? new AbortController().signal,
    states: storage.states,
    holder,
    candidates: options.members.filter((member) => member.id !== own.memberId),
    indexMin,
  });
  assert(
    holder.machine.durable.index >= indexMin,
    "the fetched state reaches the beginning of the log",
  );
}

/**
 * Makes the log consistent with the state. A state from another member or a backup may be ahead of the log,
 * after a crash between the two steps of its installation: the log is then reset to the state. No committed
 * entry is lost, because a state contains committed entries only.
 *
 * A state from the log is never ahead of it: only durable entries are applied. If it is, the log has lost
 * its end, maybe with more entries and votes than the state shows.
 *
 * @throws {AshlarError} LOG_CORRUPT if the log has lost entries of the state, or has another committed entry
 *   at the index of the state
 */
async function alignLogToState(opening: Opening): Promise<void> {
  await resetOrConfirmLog(opening);
  await opening.storage.states.endLogReset();
}

async function resetOrConfirmLog({ storage, holder, options }: Opening): Promise<void> {
  const { log, states } = storage;
  const { index, term } = holder.machine.durable;
  const { entries, hardState } = log;
  const isAligned = index <= entries.lastIndex && entries.termAt(index) === term;
  if (isAligned) {
    const commitIndex = maxIndex(hardState.commitIndex, index);
    if (commitIndex > hardState.commitIndex) {
      await log.append({ hardState: { ...hardState, commitIndex }, entries: [] });
    }
    return;
  }
  if (index <= hardState.commitIndex) {
    throw new AshlarError(
      "LOG_CORRUPT",
      `Cannot use the state at index ${index} of term ${term}: the log has another committed entry at that index`,
      {
        hint: `The state and the log belong to different members. If the files of this member were mixed with others, put its own back. Otherwise: ${REPLACE_HINT}`,
      },
    );
  }
  if (!states.isLogResetPending) {
    throw entriesLost(
      `Cannot use the log: expected the entry at index ${index} of term ${term}, which the state has: the log ends with index ${entries.lastIndex} of term ${entries.lastTerm}`,
    );
  }
  options.env.log.warn("Resetting the log to the state, which is ahead of it", {
    index,
  });
  // The state has an entry of `term`, so the member has seen that term, and a vote of an earlier term
  // is obsolete.
  const termAndVote = term > hardState.term ? { term, votedFor: NO_MEMBER } : hardState;
  await log.reset({ index, term }, { ...termAndVote, commitIndex: index });
}
