import * as v from "valibot";
import { toHex } from "../../shared/base/bytes.ts";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { ClusterId, MemberId } from "../../shared/base/ids.ts";
import type { Disk } from "../../shared/ports/disk.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { Random } from "../../shared/ports/random.ts";
import { clusterIdSchema, memberIdSchema } from "../../shared/protocol/schemas.ts";
import { readChecksummedJson, writeChecksummedJson } from "./checksummed-json.ts";
import { hasLogFiles } from "./earlier-log.ts";

const IDENTITY_PATH = "identity.json";
const PEERS_PATH = "peers.json";
const INCARNATION_BYTES = 16;

const incarnationSchema = v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/));
const identitySchema = v.strictObject({
  format: v.literal(1),
  clusterId: clusterIdSchema,
  memberId: memberIdSchema,
  incarnation: incarnationSchema,
});
const peersSchema = v.strictObject({
  format: v.literal(1),
  incarnations: v.record(v.string(), incarnationSchema),
});

/** Owner of a data directory. */
export interface MemberIdentity {
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
  /**
   * 32 hex digits, drawn once when the directory is created. A member that restarts with an empty
   * directory gets a new incarnation, so its peers detect that it has lost its votes.
   */
  readonly incarnation: string;
}

/** Dependencies of the files of a member. */
export interface IdentityDeps {
  readonly disk: Disk;
  readonly hasher: Hasher;
  readonly random: Random;
}

/**
 * Reads the identity of the data directory, or creates one in a new directory. The identity is
 * durable when the promise resolves.
 *
 * @throws {AshlarError} WRONG_IDENTITY if the directory belongs to another member, or if it holds a
 *   log and no identity file; LOG_CORRUPT if the identity file is damaged.
 */
export async function openIdentity(
  deps: IdentityDeps,
  expected: { readonly clusterId: ClusterId; readonly memberId: MemberId },
): Promise<MemberIdentity> {
  const found = await readChecksummedJson(deps, IDENTITY_PATH, identitySchema);
  if (found === null) return createIdentity(deps, expected);
  const { clusterId, memberId, incarnation } = found;
  if (clusterId !== expected.clusterId || memberId !== expected.memberId) {
    throw new AshlarError(
      "WRONG_IDENTITY",
      `Cannot use the data directory: expected member ${expected.memberId} of cluster ${expected.clusterId}: it belongs to member ${memberId} of cluster ${clusterId}`,
      { hint: "Check memberId, clusterId and dataDir in the config of this master" },
    );
  }
  return { clusterId, memberId, incarnation };
}

async function createIdentity(
  deps: IdentityDeps,
  expected: { readonly clusterId: ClusterId; readonly memberId: MemberId },
): Promise<MemberIdentity> {
  await deps.disk.makeDirectory(".");
  // A directory with a log and no identity is not new: its identity file was removed.
  if (await hasLogFiles(deps.disk)) {
    throw new AshlarError(
      "WRONG_IDENTITY",
      `Cannot use the data directory: it contains a log and no ${IDENTITY_PATH}`,
      { hint: `Restore ${IDENTITY_PATH}, or add a new member with an empty directory instead` },
    );
  }
  const incarnation = toHex(deps.random.bytes(INCARNATION_BYTES));
  const identity = { clusterId: expected.clusterId, memberId: expected.memberId, incarnation };
  await writeChecksummedJson(deps, IDENTITY_PATH, { format: 1, ...identity });
  return identity;
}

/**
 * The incarnation of each peer, recorded at its first connection.
 *
 * Invariant: messages of a peer are accepted only after its incarnation is durable on this member.
 * A peer that has lost its data directory has another incarnation and is refused. So the peer can
 * never contradict a vote or an acknowledgement that it gave before the loss.
 */
export class PeerIncarnations {
  readonly #deps: IdentityDeps;
  readonly #incarnations: Map<MemberId, string>;
  /**
   * The last check. Checks run one after another, so that two never record different incarnations.
   */
  #lastCheck: Promise<void> = Promise.resolve();

  private constructor(deps: IdentityDeps, incarnations: Map<MemberId, string>) {
    this.#deps = deps;
    this.#incarnations = incarnations;
  }

  /** Reads the recorded incarnations. @throws {AshlarError} LOG_CORRUPT if the file is damaged. */
  static async open(deps: IdentityDeps): Promise<PeerIncarnations> {
    const found = await readChecksummedJson(deps, PEERS_PATH, peersSchema);
    const pairs = Object.entries(found?.incarnations ?? {});
    return new PeerIncarnations(
      deps,
      new Map(pairs.map(([id, incarnation]) => [Number(id) as MemberId, incarnation])),
    );
  }

  /**
   * Resolves when `incarnation` is durably recorded as that of `peer`.
   *
   * @throws {AshlarError} WRONG_IDENTITY if another incarnation of the peer is recorded.
   */
  async check(peer: MemberId, incarnation: string): Promise<void> {
    if (!/^[0-9a-f]{32}$/.test(incarnation)) {
      throw new AshlarError(
        "PROTOCOL_ERROR",
        `Cannot accept the incarnation of member ${peer}: expected 32 hex digits: current value is "${incarnation.slice(0, 40)}"`,
      );
    }
    const checked = this.#lastCheck.then(() => this.#record(peer, incarnation));
    this.#lastCheck = checked.catch(() => {}); // The caller receives the error; later checks do not.
    await checked;
  }

  /** Returns the recorded incarnation of `peer`, or null. */
  incarnationOf(peer: MemberId): string | null {
    return this.#incarnations.get(peer) ?? null;
  }

  /**
   * Records the incarnations of these peers, in place of others. Only a member that has neither
   * voted nor stored an entry may replace a recorded incarnation. Durable when it resolves.
   *
   * @throws {AshlarError} DISK_FAILED, NO_SPACE
   */
  async record(incarnations: ReadonlyMap<MemberId, string>): Promise<void> {
    const recorded = this.#lastCheck.then(async () => {
      const all = new Map([...this.#incarnations, ...incarnations]);
      await this.#write(all, [...incarnations.keys()]);
      for (const [peer, incarnation] of incarnations) this.#incarnations.set(peer, incarnation);
    });
    this.#lastCheck = recorded.catch(() => {}); // The caller receives the error; later checks do not.
    await recorded;
  }

  /** Returns whether no other incarnation of `peer` is recorded. */
  isCurrent(peer: MemberId, incarnation: string): boolean {
    const known = this.#incarnations.get(peer);
    return known === undefined || known === incarnation;
  }

  /**
   * Records the incarnation that a committed membership change names. The log is authoritative and
   * durable, so the write to the file is not awaited and may fail.
   */
  adopt(peer: MemberId, incarnation: string): void {
    if (this.#incarnations.get(peer) === incarnation) return;
    this.#incarnations.set(peer, incarnation);
    this.#lastCheck = this.#lastCheck
      .then(() => this.#write(this.#incarnations, [peer]))
      .catch(() => {});
  }

  async #record(peer: MemberId, incarnation: string): Promise<void> {
    const known = this.#incarnations.get(peer);
    if (known === incarnation) return;
    if (known !== undefined) throw changedIncarnation(peer, known, incarnation);
    const incarnations = new Map(this.#incarnations).set(peer, incarnation);
    await this.#write(incarnations, [peer]);
    // `adopt` may have recorded another incarnation during the write.
    const decided = this.#incarnations.get(peer) ?? incarnation;
    if (decided !== incarnation) throw changedIncarnation(peer, decided, incarnation);
    this.#incarnations.set(peer, incarnation);
  }

  /** Writes all incarnations. `changed` names the members whose incarnation is new. */
  async #write(
    incarnations: ReadonlyMap<MemberId, string>,
    changed: readonly MemberId[],
  ): Promise<void> {
    const content = { format: 1, incarnations: Object.fromEntries(incarnations) };
    try {
      await writeChecksummedJson(this.#deps, PEERS_PATH, content);
    } catch (cause) {
      throw isAshlarError(cause) ? notRecorded(changed, cause) : cause;
    }
  }
}

/** `details.unrecorded`: the members whose incarnation could not be stored. */
function notRecorded(peers: readonly MemberId[], cause: AshlarError): AshlarError {
  const members = `member${peers.length === 1 ? "" : "s"} ${peers.join(", ")}`;
  return new AshlarError(
    cause.code,
    `Cannot record the incarnation of ${members}: ${cause.message}`,
    { cause, details: { ...cause.details, unrecorded: [...peers] } },
  );
}

function changedIncarnation(peer: MemberId, known: string, shown: string): AshlarError {
  return new AshlarError(
    "WRONG_IDENTITY",
    `Cannot accept member ${peer}: expected incarnation ${known.slice(0, 8)}: current value is ${shown.slice(0, 8)}: its data directory was lost or replaced, together with its votes`,
    {
      details: { memberId: peer },
      hint: "Restore its old data directory, or remove it from the cluster and add it again: ashlar master remove, then ashlar master add",
    },
  );
}
