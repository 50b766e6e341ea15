import { assert } from "../../shared/base/assert.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import type { MemberId } from "../../shared/base/ids.ts";
import { maxIndex } from "../raft/entries.ts";
import { type Membership, NO_MEMBER } from "../raft/messages.ts";
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
import { Member, TICKS_PER_HEARTBEAT } from "./member.ts";
import type { MemberStorage } from "./member-storage.ts";
import { encodeMembershipRecord } from "./membership-record.ts";
import { durableMembership, MembershipState } from "./membership-state.ts";
import type { OwnIdentity } from "./peer-handshake.ts";
import { StateHolder } from "./state-holder.ts";

/**
 * Opens the member's data directory, or founds it, and starts taking part.
 *
 * Resolves when the state is open; the member may still be without a leader. Register its handlers
 * (`registerRaftHandlers`) and listen before or after: peers keep trying. A member that has lost
 * its state, but not its log, fetches one from a peer first; until then it is as good as down.
 *
 * @throws {AshlarError} WRONG_IDENTITY if the directory is another member's; LOG_CORRUPT if the log
 *   is damaged; VERSION_MISMATCH if a newer version wrote it; INVALID_ARGUMENT; DISK_FAILED; NO_SPACE.
 */
export async function openDriver(options: DriverOptions): Promise<Driver> {
  const timing = { ...DEFAULT_TIMING, ...pickTiming(options.timing ?? {}) };
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const storage = await options.openStorage({
    ...options,
    ...options.env,
    segmentBytes: limits.logSegmentBytes,
    founders: foundersOf(options),
  });
  const { clusterId, memberId } = options;
  const address = options.members.find((member) => member.id === memberId)?.address ?? "";
  const own = { clusterId, memberId, incarnation: storage.identity.incarnation, address };
  let holder: StateHolder | null = null;
  try {
    const { log } = options.env;
    const { openStateMachine } = options;
    holder = await StateHolder.open({ states: storage.states, openStateMachine, log });
    const opening = { options, timing, own, storage, holder };
    await completeState(opening);
    await joinLogToState(opening);
  } catch (error) {
    await holder?.close();
    await storage.log.close();
    throw error;
  }
  const { machine } = holder;
  const founders = { ...NOBODY, voters: storage.founders };
  const membershipState = membershipStateOf({ options, own, storage, holder }, founders);
  const node = createRaftNode({
    id: memberId,
    storage: new CoreStorage(storage.log, machineOf(holder), founders),
    random: () => options.env.random.fraction(),
    appliedIndex: machine.appliedIndex,
    heartbeatTicks: TICKS_PER_HEARTBEAT,
    electionTicks: Math.ceil(
      (timing.electionTimeoutMsMin * TICKS_PER_HEARTBEAT) / timing.heartbeatIntervalMs,
    ),
    uncommittedBytesMax: limits.proposalBytesMax,
    snapshotFirst: true,
  });
  return new Member({
    options,
    timing,
    limits,
    own,
    storage,
    holder,
    node,
    founders,
    membershipState,
  });
}

function machineOf(holder: StateHolder): () => StateHolder["machine"] {
  return () => holder.machine;
}

/** A config holds more than the timing; only that is taken. */
function pickTiming(given: Partial<DriverTiming>): Partial<DriverTiming> {
  const keys = Object.keys(DEFAULT_TIMING) as (keyof DriverTiming)[];
  return Object.fromEntries(
    keys.filter((key) => given[key] !== undefined).map((key) => [key, given[key]]),
  );
}

/** What the state of a group stores of its members that begins with these voters. */
export function foundingRecord(voters: readonly MemberId[]): Uint8Array {
  return encodeMembershipRecord({ membership: { ...NOBODY, voters }, members: [] });
}

const NOBODY: Membership = {
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
  const given = { ownId: memberId, configured: options.members, founders, incarnations };
  return new MembershipState(given, durableMembership(holder.machine));
}

/**
 * Who founds a new cluster, by ascending id: nobody where this member is to join one.
 *
 * @throws {AshlarError} INVALID_ARGUMENT if an id is there twice, or this member's is not
 */
export function foundersOf({
  members,
  memberId,
  join,
}: Pick<DriverOptions, "members" | "memberId" | "join">): readonly MemberId[] {
  const voters = members.map((member) => member.id).sort((left, right) => left - right);
  if (new Set(voters).size !== voters.length) {
    throw new AshlarError("INVALID_ARGUMENT", "Cannot use the members: an id is there twice");
  }
  if (!voters.includes(memberId)) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot use the members: this member, ${memberId}, is not among them`,
    );
  }
  return join === true ? [] : voters;
}

interface Opening {
  readonly options: DriverOptions;
  readonly timing: DriverTiming;
  readonly own: OwnIdentity;
  readonly storage: MemberStorage;
  readonly holder: StateHolder;
}

/**
 * A state that ends before the log begins cannot be completed by it: it was damaged, and the log
 * compacted. One of a peer takes its place. Log, term and vote are untouched, so that nothing this
 * member has promised is forgotten, and it takes no part until it has a state.
 */
async function completeState(opening: Opening): Promise<void> {
  const { options, timing, own, storage, holder } = opening;
  const indexMin = storage.log.entries.base.index;
  if (holder.machine.durable.index >= indexMin) return;
  options.env.log.warn("The state is lost and is fetched from a peer", { indexMin });
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
  assert(holder.machine.durable.index >= indexMin, "the state that was fetched is late enough");
}

/**
 * A state that the log does not lead to replaced the one before just ahead of a crash: the log is
 * reset to it. All that it stands for was committed, so nothing that counts is lost.
 */
async function joinLogToState({ storage, holder, options }: Opening): Promise<void> {
  const { log } = storage;
  const { index, term } = holder.machine.durable;
  const { entries, hardState } = log;
  const isJoined = index <= entries.lastIndex && entries.termAt(index) === term;
  if (isJoined) {
    const commitIndex = maxIndex(hardState.commitIndex, index);
    if (commitIndex > hardState.commitIndex) {
      await log.append({ hardState: { ...hardState, commitIndex }, entries: [] });
    }
    return;
  }
  if (index <= hardState.commitIndex) {
    throw new AshlarError(
      "LOG_CORRUPT",
      `Cannot use the state at index ${index} of term ${term}: the log has another entry there, which is committed`,
      { hint: "The state and the log are of different members: put back what belongs together" },
    );
  }
  options.env.log.warn("The log is reset to the state, which was replaced by a snapshot", {
    index,
  });
  // Who has entries of a term has seen that term; a vote in an earlier one counts no more.
  const seen = term > hardState.term ? { term, votedFor: NO_MEMBER } : hardState;
  await log.reset({ index, term }, { ...seen, commitIndex: index });
}
