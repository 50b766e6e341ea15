import { type AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { ClusterId } from "../../shared/base/ids.ts";
import { SlabPool } from "../../shared/flow/slabs.ts";
import type { Env } from "../../shared/ports/env.ts";
import { memberStatus } from "../../shared/protocol/fleet-api.ts";
import { ConnectionPool } from "../../shared/wire/connection-pool.ts";

const MIB = 1024 * 1024;

/** The answer of one master to a probe. */
export interface MasterProbe {
  readonly address: string;
  /** Whether the master votes, as far as the masters that answered know. A learner does not. */
  readonly isVoter: boolean;
  /** null if the master did not answer, or does not belong to the cluster. */
  readonly answer: {
    readonly memberId: number;
    readonly role: string;
    readonly term: number;
    /** Which of its disks has no space, null if it reports none. */
    readonly diskFull: { readonly kind: string; readonly reason: string } | null;
  } | null;
  /** Why there is no answer, such as "connection refused"; null if there is one. */
  readonly problem: string | null;
  /** Whether the machine answered that no process listens at the address. */
  readonly isRefused: boolean;
  /**
   * Whether no answer arrived before the deadline of the probe: the master, its machine or this one
   * can be slow or dead.
   */
  readonly isSilent: boolean;
}

/** The state of all masters at one moment. */
export interface MastersProbe {
  readonly masters: readonly MasterProbe[];
  readonly voterCount: number;
  /** Voters that answered and take part. */
  readonly answeredCount: number;
  /** Whether there is no leader, and so few voters answer that they cannot elect one. */
  readonly hasNoMajority: boolean;
  /** Whether only silence speaks against a majority: the silent voters can complete one. */
  readonly isMajorityUncertain: boolean;
  /** Whether every master refused the connection. */
  readonly isAllRefused: boolean;
}

/**
 * Asks every master for its state at the same time, also those that only other masters name.
 * Resolves within about `2 * timeoutMs`.
 */
export async function probeMasters(
  env: Env,
  addresses: readonly string[],
  options: { readonly clusterId: ClusterId | null; readonly timeoutMs: number },
): Promise<MastersProbe> {
  const slabs = new SlabPool({ bytesMax: MIB, idleBytesMax: MIB });
  const identity = () => ({ role: "client", clusterId: options.clusterId, name: "probe" }) as const;
  await using pool = new ConnectionPool(
    { ...env, slabs },
    { identity, role: "master", limits: {} },
  );
  const { timeoutMs } = options;
  const named = new Set<string>();
  // The member that has applied the most entries knows the latest members.
  let newest: { readonly appliedIndex: number; readonly learners: readonly string[] } = {
    appliedIndex: -1,
    learners: [],
  };
  const ask = async (address: string): Promise<Asked> => {
    try {
      const received = await pool.call(address, memberStatus, {}, { timeoutMs });
      received.release();
      for (const each of received.head.masters) named.add(each);
      const { memberId, role, term, appliedIndex, diskFull = null } = received.head.member;
      if (appliedIndex > newest.appliedIndex) {
        newest = { appliedIndex, learners: received.head.learners };
      }
      return { address, answer: { memberId, role, term, diskFull }, problem: null, ...ANSWERED };
    } catch (error) {
      if (!isAshlarError(error)) throw error;
      return { address, answer: null, ...problemOf(address, error) };
    }
  };
  const configured = [...new Set(addresses)];
  const first = await Promise.all(configured.map(ask));
  const others = [...named].filter((address) => !configured.includes(address));
  const asked = [...first, ...(await Promise.all(others.map(ask)))];
  const all = asked.map((each) => ({
    ...each,
    isVoter: each.answer?.role !== "learner" && !newest.learners.includes(each.address),
  }));
  // A configured master that the others do not name was removed from the cluster.
  return summaryOf(named.size === 0 ? all : all.filter(({ address }) => named.has(address)));
}

const ANSWERED = { isRefused: false, isSilent: false } as const;

type Asked = Omit<MasterProbe, "isVoter">;

/** Returns whether a master answered, and its log has not failed because its disk is full. */
function takesPart({ answer }: Pick<MasterProbe, "answer">): boolean {
  return answer !== null && answer.diskFull?.kind !== "log";
}

/** Returns the state of the group of masters from what each of them answered. */
export function summaryOf(masters: readonly MasterProbe[]): MastersProbe {
  const voters = masters.filter(({ isVoter }) => isVoter);
  const answeredCount = voters.filter(takesPart).length;
  const silentCount = voters.filter(({ isSilent }) => isSilent).length;
  return {
    masters,
    voterCount: voters.length,
    answeredCount,
    hasNoMajority:
      answeredCount <= Math.floor(voters.length / 2) &&
      // The members can have changed since: a leader proves a majority.
      masters.every(({ answer }) => answer?.role !== "leader"),
    isMajorityUncertain: answeredCount + silentCount > Math.floor(voters.length / 2),
    isAllRefused: masters.length > 0 && masters.every(({ isRefused }) => isRefused),
  };
}

function problemOf(
  address: string,
  error: AshlarError,
): Pick<MasterProbe, "isRefused" | "isSilent"> & { readonly problem: string } {
  const prefix = `Cannot connect to ${address}: `;
  const { message, cause } = error;
  return {
    problem: message.startsWith(prefix) ? message.slice(prefix.length) : message,
    isRefused: (cause as NodeJS.ErrnoException | undefined)?.code === "ECONNREFUSED",
    isSilent: isAshlarError(error, "DEADLINE_EXCEEDED"),
  };
}
