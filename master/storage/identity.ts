import * as v from "valibot";
import { toHex } from "../../shared/base/bytes.ts";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { ClusterId, MemberId } from "../../shared/base/ids.ts";
import type { Disk } from "../../shared/ports/disk.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { Random } from "../../shared/ports/random.ts";
import { clusterIdSchema, memberIdSchema } from "../../shared/protocol/schemas.ts";
import { readChecksummedJson, writeChecksummedJson } from "./checksummed-json.ts";

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

/** Who a data directory is. */
export interface MemberIdentity {
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
  /**
   * 32 hex digits, drawn once for the directory. A member that comes back with an empty directory
   * has another one, so its peers can tell that it has forgotten its votes.
   */
  readonly incarnation: string;
}

/** What the files of the member live on. */
export interface IdentityDeps {
  readonly disk: Disk;
  readonly hasher: Hasher;
  readonly random: Random;
}

/**
 * Reads the directory's identity, or gives it one: durable when it resolves.
 *
 * @throws {AshlarError} WRONG_IDENTITY if the directory is another member's, or has lost the file
 *   that says whose it is; LOG_CORRUPT if that file is damaged.
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
      `Cannot use the data directory: expected one of member ${expected.memberId} of cluster ${expected.clusterId}: it is of member ${memberId} of cluster ${clusterId}`,
      { hint: "Check memberId, clusterId and dataDir in the config of this master" },
    );
  }
  return { clusterId, memberId, incarnation };
}

async function createIdentity(
  deps: IdentityDeps,
  expected: { readonly clusterId: ClusterId; readonly memberId: MemberId },
): Promise<MemberIdentity> {
  // A log without an identity is a directory that somebody took a file from, not a new one.
  if (await hasLog(deps.disk)) {
    throw new AshlarError(
      "WRONG_IDENTITY",
      `Cannot use the data directory: it holds a log but no ${IDENTITY_PATH}`,
      { hint: `Restore ${IDENTITY_PATH}, or add a new member with an empty directory instead` },
    );
  }
  await deps.disk.makeDirectory(".");
  const incarnation = toHex(deps.random.bytes(INCARNATION_BYTES));
  const identity = { clusterId: expected.clusterId, memberId: expected.memberId, incarnation };
  await writeChecksummedJson(deps, IDENTITY_PATH, { format: 1, ...identity });
  return identity;
}

async function hasLog(disk: Disk): Promise<boolean> {
  try {
    return (await disk.list("log")).length > 0;
  } catch (error) {
    if (isAshlarError(error, "NOT_FOUND")) return false;
    throw error;
  }
}

/**
 * The incarnation of each peer, as it was when this member first met it.
 *
 * Invariant: a peer's messages count only after its incarnation is on disk here. So a vote or an
 * acknowledgement that this member has used can never be given a second time by a peer that has
 * lost its directory: it shows another incarnation, and is refused.
 */
export class PeerIncarnations {
  readonly #deps: IdentityDeps;
  readonly #incarnations: Map<MemberId, string>;
  /** Checks run one after the other: two must not write different incarnations of one peer. */
  #lastCheck: Promise<void> = Promise.resolve();

  private constructor(deps: IdentityDeps, incarnations: Map<MemberId, string>) {
    this.#deps = deps;
    this.#incarnations = incarnations;
  }

  /** @throws {AshlarError} LOG_CORRUPT if the file is damaged. */
  static async open(deps: IdentityDeps): Promise<PeerIncarnations> {
    const found = await readChecksummedJson(deps, PEERS_PATH, peersSchema);
    const pairs = Object.entries(found?.incarnations ?? {});
    return new PeerIncarnations(
      deps,
      new Map(pairs.map(([id, incarnation]) => [Number(id) as MemberId, incarnation])),
    );
  }

  /**
   * Resolves when `incarnation` is known, durably, to be that of `peer`.
   *
   * @throws {AshlarError} WRONG_IDENTITY if the peer has shown another one before.
   */
  async check(peer: MemberId, incarnation: string): Promise<void> {
    if (!/^[0-9a-f]{32}$/.test(incarnation)) {
      throw new AshlarError(
        "PROTOCOL_ERROR",
        `Cannot take the incarnation of member ${peer}: expected 32 hex digits: got "${incarnation.slice(0, 40)}"`,
      );
    }
    const checked = this.#lastCheck.then(() => this.#record(peer, incarnation));
    this.#lastCheck = checked.catch(() => {}); // The caller has the error; the next check starts anew.
    await checked;
  }

  isCurrent(peer: MemberId, incarnation: string): boolean {
    const known = this.#incarnations.get(peer);
    return known === undefined || known === incarnation;
  }

  /** The log decides, and is durable: the file follows, and need not. */
  adopt(peer: MemberId, incarnation: string): void {
    if (this.#incarnations.get(peer) === incarnation) return;
    this.#incarnations.set(peer, incarnation);
    this.#lastCheck = this.#lastCheck.then(() => this.#write(this.#incarnations)).catch(() => {});
  }

  async #record(peer: MemberId, incarnation: string): Promise<void> {
    const known = this.#incarnations.get(peer);
    if (known === incarnation) return;
    if (known !== undefined) throw changedIncarnation(peer, known, incarnation);
    const incarnations = new Map(this.#incarnations).set(peer, incarnation);
    await this.#write(incarnations);
    // The log may have decided meanwhile.
    const decided = this.#incarnations.get(peer) ?? incarnation;
    if (decided !== incarnation) throw changedIncarnation(peer, decided, incarnation);
    this.#incarnations.set(peer, incarnation);
  }

  async #write(incarnations: ReadonlyMap<MemberId, string>): Promise<void> {
    const content = { format: 1, incarnations: Object.fromEntries(incarnations) };
    await writeChecksummedJson(this.#deps, PEERS_PATH, content);
  }
}

function changedIncarnation(peer: MemberId, known: string, shown: string): AshlarError {
  return new AshlarError(
    "WRONG_IDENTITY",
    `Cannot take member ${peer} back: expected incarnation ${known.slice(0, 8)}: it has ${shown.slice(0, 8)}: its data directory was lost or replaced, and with it the votes it has given`,
    {
      details: { memberId: peer },
      hint: "Give it its old data directory, or remove it from the cluster and add it again: ashlar master remove, then ashlar master add",
    },
  );
}
