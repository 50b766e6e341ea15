import type { MemberId, ServerId } from "../../shared/base/ids.ts";
import { serverLabel } from "../../shared/protocol/intent.ts";
import type { Liveness } from "./liveness.ts";

/** Input of `evaluateHealth`. */
export interface HealthFacts {
  readonly mastersTotal: number;
  readonly mastersReachable: number;
  /** How far the clock of each master is ahead of their median, in milliseconds. */
  readonly clocks: readonly { readonly memberId: MemberId; readonly aheadMs: number }[];
  /** The masters that run and do not follow the leader, because messages are refused. */
  readonly refused: readonly {
    readonly memberId: MemberId;
    readonly forMs: number;
    readonly reason: string;
  }[];
  /** The masters whose disk has no space: see `ConsensusStatus.diskFull`. */
  readonly disksFull: readonly {
    readonly memberId: MemberId;
    readonly address: string;
    readonly isLeader: boolean;
    readonly kind: "log" | "state";
    readonly reason: string;
  }[];
  /** How far the time of the state is ahead of the clocks of the masters, in milliseconds. */
  readonly timeAheadMs: number;
  readonly servers: readonly ServerFacts[];
  /** The state of a new leader that has no message of all chunkservers yet; else null. */
  readonly settling: { readonly leaderForMs: number; readonly heardCount: number } | null;
  readonly chunksUnderReplicated: number;
  /** Chunks without a live copy. */
  readonly chunksLost: number;
  /** Whether the chunks of all silent servers are counted in the numbers above. */
  readonly isScanComplete: boolean;
  /** Number of copies that a write needs. */
  readonly copiesMin: number;
  readonly isMassLoss: boolean;
}

/** One chunkserver in `HealthFacts`. */
export interface ServerFacts {
  readonly serverId: ServerId;
  readonly address: string;
  readonly liveness: Liveness;
  /** Silence in milliseconds; null if this leader has no message of the server. */
  readonly silentMs: number | null;
  readonly isDiskFailed: boolean;
  /** Copies that the disk could not read at their last read. */
  readonly unreadableCount?: number | undefined;
  /** Whether the server has no space for another chunk. */
  readonly isFull: boolean;
}

/** Health of the cluster. The field names are those of the wire. */
export interface Health {
  readonly word: "ok" | "degraded" | "critical";
  /** One text for each problem, the critical ones first. */
  readonly reasons: readonly string[];
  readonly isFull: boolean;
}

/**
 * Largest difference of a master's clock that is not reported. NTP keeps clocks within milliseconds,
 * times in the history are exact to a second, and a reading is exact to half a round trip.
 */
const CLOCK_MS_MAX = 1_000;
/** The same for the time of the state. A smaller difference ends within seconds by itself. */
const TIME_MS_MAX = 10_000;
/** More servers than this are counted and not named. */
const NAMED_MAX = 3;

/** Returns the health of the cluster: the most severe problem decides `word`. */
export function evaluateHealth(facts: HealthFacts): Health {
  // Silence means nothing yet for a new leader: the servers still look for it.
  const isExpected = ({ silentMs }: ServerFacts): boolean =>
    facts.settling !== null && silentMs === null;
  const isAlive = (server: ServerFacts): boolean =>
    server.liveness === "live" || isExpected(server);
  const alive = facts.servers.filter(isAlive);
  const writable = alive.filter((server) => !server.isDiskFailed);
  const roomy = writable.filter((server) => !server.isFull || isExpected(server));
  const isFull = writable.length >= facts.copiesMin && roomy.length < facts.copiesMin;
  const refusing = facts.disksFull.filter(({ kind, isLeader }) => kind === "state" && isLeader);
  const critical = [
    ...lossReasons(facts),
    ...refusing.map(
      (master) =>
        `every change is refused: the disk of the state of the leader, ${masterText(master)}, is full; free space`,
    ),
    ...writeReasons({ facts, alive, writable }),
    ...(isFull ? [fullReason(roomy.length, writable.length, facts.copiesMin)] : []),
  ];
  const down = facts.servers.filter((server) => !isAlive(server));
  const degraded = [
    ...settlingReasons(facts),
    ...masterReasons(facts),
    ...refusedReasons(facts),
    ...fullDiskReasons(facts.disksFull.filter((master) => !refusing.includes(master))),
    ...clockReasons(facts),
    ...downReasons(facts, down),
    ...diskReasons(alive.length - writable.length),
    ...unreadableReasons(alive),
    ...copyReasons(facts),
  ];
  const reasons = [...critical, ...degraded];
  if (critical.length > 0) return { word: "critical", reasons, isFull };
  return { word: degraded.length > 0 ? "degraded" : "ok", reasons, isFull };
}

function lossReasons({ chunksLost, settling }: HealthFacts): string[] {
  if (chunksLost === 0 || settling !== null) return [];
  return [`${count(chunksLost, "chunk")} without a live copy`];
}

function writeReasons(found: {
  readonly facts: HealthFacts;
  readonly alive: readonly ServerFacts[];
  readonly writable: readonly ServerFacts[];
}): string[] {
  const { facts, alive, writable } = found;
  const reasons: string[] = [];
  if (writable.length < facts.copiesMin) {
    const isWhole = alive.length === writable.length;
    const usable = count(writable.length, isWhole ? "live chunkserver" : "chunkserver");
    const suffix = isWhole ? "" : " without a failed disk";
    reasons.push(`only ${usable}${suffix}: a write needs at least ${facts.copiesMin}`);
  }
  if (facts.isMassLoss) reasons.push("many chunkservers are dead at once: repair is halted");
  return reasons;
}

function fullReason(roomy: number, writable: number, copiesMin: number): string {
  const verb = roomy === 1 ? "has" : "have";
  return (
    `the cluster is full: ${roomy} of ${writable} chunkservers ${verb} space for another chunk, ` +
    `a write needs at least ${copiesMin}; add a chunkserver, or remove files and free the space ` +
    "that the history keeps for them: ashlar history trim"
  );
}

function settlingReasons({ settling, servers }: HealthFacts): string[] {
  if (settling === null) return [];
  const { leaderForMs, heardCount } = settling;
  const senders = `${heardCount} of ${servers.length} chunkservers`;
  return [
    `new leader for ${seconds(leaderForMs)}, waiting for heartbeats: ${senders} have sent one`,
  ];
}

function masterReasons({ mastersTotal, mastersReachable }: HealthFacts): string[] {
  const down = mastersTotal - mastersReachable;
  return down === 0 ? [] : [`${down} of ${mastersTotal} masters unreachable`];
}

function refusedReasons({ refused }: HealthFacts): string[] {
  return refused.map(
    ({ memberId, forMs, reason }) =>
      `master ${memberId} does not follow the leader for ${seconds(forMs)}: ${reason}; ` +
      "stop it and keep its data directory, which can be the only one with some acknowledged changes: " +
      'docs/operations.md, "A master does not follow the leader"',
  );
}

function fullDiskReasons(disksFull: HealthFacts["disksFull"]): string[] {
  return disksFull.map((master) =>
    master.kind === "log"
      ? `${masterText(master)} takes no part, because the disk of its log is full: ${master.reason}; free space and restart it`
      : `the disk of the state of ${masterText(master)} is full: it refuses every change when it leads; free space`,
  );
}

function masterText({ memberId, address }: HealthFacts["disksFull"][number]): string {
  return `master ${memberId} (${address})`;
}

function clockReasons({ clocks, timeAheadMs }: HealthFacts): string[] {
  const wrong = clocks.filter(({ aheadMs }) => Math.abs(aheadMs) > CLOCK_MS_MAX);
  const reasons = wrong.map(
    ({ memberId, aheadMs }) =>
      `the clock of master ${memberId} is ${aheadText(aheadMs)} the other masters`,
  );
  if (Math.abs(timeAheadMs) > TIME_MS_MAX) {
    const clock = `the time of the cluster is ${aheadText(timeAheadMs)} the clocks of the masters`;
    reasons.push(`${clock}: ashlar cluster reset-clock`);
  }
  return reasons;
}

function aheadText(aheadMs: number): string {
  return `${seconds(Math.abs(aheadMs))} ${aheadMs > 0 ? "ahead of" : "behind"}`;
}

function downReasons(facts: HealthFacts, down: readonly ServerFacts[]): string[] {
  if (down.length === 0) return [];
  const named =
    down.length > NAMED_MAX
      ? [`${down.length} of ${facts.servers.length} chunkservers not live`]
      : down.map((server) => `${serverLabel(server)} ${downText(server)}`);
  const isRepaired =
    facts.isScanComplete && facts.chunksUnderReplicated === 0 && facts.settling === null;
  return isRepaired ? [`all chunks have their copies; ${named.join(", ")}`] : named;
}

function downText({ liveness, silentMs }: ServerFacts): string {
  if (liveness === "refused") return "is refused because it has not enrolled (ashlar server token)";
  if (silentMs === null) return "is down since before the leader was elected";
  if (liveness === "stopped") return `was stopped ${seconds(silentMs)} ago`;
  if (liveness === "suspect") return `has been silent for ${seconds(silentMs)}`;
  return `is down for ${seconds(silentMs)}`;
}

function diskReasons(failed: number): string[] {
  return failed === 0 ? [] : [`${count(failed, "chunkserver")} with a failed disk`];
}

function unreadableReasons(alive: readonly ServerFacts[]): string[] {
  const counts = alive.map(({ unreadableCount = 0 }) => unreadableCount).filter((each) => each > 0);
  if (counts.length === 0) return [];
  const total = counts.reduce((sum, each) => sum + each, 0);
  const copies = total === 1 ? "1 copy" : `${total} copies`;
  return [`${copies} on ${count(counts.length, "chunkserver")} that the disk cannot read`];
}

function copyReasons({ chunksUnderReplicated }: HealthFacts): string[] {
  if (chunksUnderReplicated === 0) return [];
  return [`${count(chunksUnderReplicated, "chunk")} with too few copies`];
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/** Returns "32 s", "5 min", "3 h" or "2 d". */
function seconds(durationMs: number): string {
  const whole = Math.floor(durationMs / 1_000);
  if (whole < 120) return `${whole} s`;
  if (whole < 7_200) return `${Math.floor(whole / 60)} min`;
  if (whole < 172_800) return `${Math.floor(whole / 3_600)} h`;
  return `${Math.floor(whole / 86_400)} d`;
}
