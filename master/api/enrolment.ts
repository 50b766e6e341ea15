import { equalBytes } from "../../shared/base/bytes.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import type { Digest, ServerId } from "../../shared/base/ids.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import {
  type EnrolmentStatus,
  joinTokenHash,
  joinTokenId,
  type RequestedEnrolmentChange,
} from "../../shared/protocol/enrolment-api.ts";
import type { register } from "../../shared/protocol/fleet-api.ts";
import { type ServerLocation, serverLabel } from "../../shared/protocol/intent.ts";
import type { CallContext, PeerIdentity } from "../../shared/wire/rpc.ts";
import type { EnrolmentChange } from "../namespace/command.ts";
import { FEATURE_LEVEL_ENROLMENT } from "../namespace/feature-levels.ts";
import type { EnrolmentRecord } from "../namespace/records.ts";
import { newestOf } from "./chunk-keys.ts";
import { type MasterDeps, propose } from "./leader-context.ts";

type Proof = ReturnType<(typeof register)["parseRequest"]>["proof"];

const CHUNK_KEY_BYTES = 32;
/** A time in which the time of entries advances by a millisecond: see `ClusterClock`. */
const REVOKED_MS = 4;
const NEW_CLUSTER_HINT = "The chunkserver tries again";
const HINT =
  "Run `ashlar server token`, and start the chunkserver with --join-token or ASHLAR_JOIN_TOKEN. It needs the token once";

/** How a chunkserver may register. */
export interface Admission {
  /** Whether it has proved its credential. */
  readonly isProven: boolean;
  /**
   * The credential that it must store. Null if it has proved its credential, or if its version cannot
   * enrol.
   */
  readonly credential: Digest | null;
}

/**
 * Decides whether a chunkserver may register: with its credential, with a valid join token, or while the
 * enrolment is open.
 *
 * @throws {AshlarError} NOT_ENROLLED; NO_LEADER while the cluster is being created
 */
export function admitServer(deps: MasterDeps, serverId: ServerId, proof: Proof): Admission {
  const record = deps.namespace().enrolment();
  if (record === undefined) {
    if (deps.isFounding()) throw beingFounded();
    return { isProven: false, credential: null };
  }
  const { hasher } = deps.env;
  const credential = credentialOf(hasher, record, serverId);
  if (proof?.credential != null && isEqual(hasher, proof.credential, credential)) {
    return { isProven: true, credential: null };
  }
  if (!record.isOpen && !isTokenValid(deps, record, proof?.token ?? null)) {
    // Any process can state this id, so the refusal changes no state in which copies count.
    if (deps.fleet.liveness(serverId) === "dead") deps.fleet.recordRefusal(serverId);
    throw notEnrolled(serverId, proof);
  }
  return { isProven: false, credential: proof === undefined ? null : credential };
}

/**
 * Checks a heartbeat of a registered chunkserver: a server that has not enrolled is refused once the
 * enrolment is closed. Returns whether it should enrol.
 *
 * @throws {AshlarError} NOT_ENROLLED
 */
export function checkEnrolled(deps: MasterDeps, peer: PeerIdentity, serverId: ServerId): boolean {
  const record = deps.namespace().enrolment();
  if (record === undefined || deps.registrations.isProven(peer)) return false;
  if (!record.isOpen) throw notEnrolled(serverId, undefined);
  return true;
}

/** Returns the credential of a chunkserver. The id of a removed server cannot register again. */
function credentialOf(hasher: Hasher, { enrolmentKey }: EnrolmentRecord, serverId: string): Digest {
  return hasher.keyedHash(enrolmentKey, new TextEncoder().encode(`credential ${serverId}`));
}

/** Compares secrets by their hashes, so that the time of the comparison tells nothing about them. */
function isEqual(hasher: Hasher, given: Uint8Array, expected: Uint8Array): boolean {
  return equalBytes(hasher.hash(given), hasher.hash(expected));
}

function isTokenValid(deps: MasterDeps, record: EnrolmentRecord, token: string | null): boolean {
  if (token === null) return false;
  const tokenHash = joinTokenHash(deps.env.hasher, token);
  return validTokens(deps, record).some(({ hash }) => equalBytes(hash, tokenHash));
}

/** Returns the tokens that have not expired. The state has expired ones until its next change. */
function validTokens(
  { nowMs }: MasterDeps,
  { tokens }: EnrolmentRecord,
): EnrolmentRecord["tokens"] {
  const atMs = nowMs();
  return tokens.filter(({ expiresMs }) => expiresMs > atMs);
}

function notEnrolled(serverId: ServerId, proof: Proof): AshlarError {
  const given: string[] = [];
  if (proof?.credential != null) given.push("its credential is not valid");
  if (proof?.token != null) given.push("its join token is unknown or has expired");
  if (given.length === 0) given.push("it has neither");
  return new AshlarError(
    "NOT_ENROLLED",
    `Cannot register chunkserver ${serverId}: expected the credential of an enrolled server or a join token: ${given.join(" and ")}`,
    { hint: HINT },
  );
}

function beingFounded(): AshlarError {
  return new AshlarError("NO_LEADER", "Cannot enrol a chunkserver: the cluster is being created", {
    hint: NEW_CLUSTER_HINT,
  });
}

/** Returns the enrolment. @throws {AshlarError} VERSION_MISMATCH below feature level 13 */
export function statusOfEnrolment(deps: MasterDeps): EnrolmentStatus {
  const record = requireEnrolment(deps);
  const servers = deps.namespace().servers();
  return {
    isOpen: record.isOpen,
    keyVersion: newestOf(record.keys).version,
    acceptedVersions: record.keys.map(({ version }) => version),
    tokens: validTokens(deps, record).map(({ hash, expiresMs }) => {
      return { id: joinTokenId(hash), expiresMs };
    }),
    notEnrolled: notEnrolledServers(deps, servers),
    silent: servers.filter(({ serverId }) => !isAlive(deps, serverId)),
  };
}

/** Returns the live servers that have not proved their credential to this leader. */
export function notEnrolledServers(
  deps: MasterDeps,
  servers: readonly ServerLocation[],
): ServerLocation[] {
  return servers.filter(({ serverId }) => {
    return isAlive(deps, serverId) && !deps.registrations.isEnrolled(serverId);
  });
}

function isAlive({ fleet }: MasterDeps, serverId: ServerId): boolean {
  const liveness = fleet.liveness(serverId);
  return liveness === "live" || liveness === "suspect";
}

/** Changes the enrolment for an operator. @throws {AshlarError} PRECONDITION_FAILED, VERSION_MISMATCH */
export async function performEnrolmentChange(
  deps: MasterDeps,
  requested: RequestedEnrolmentChange,
  context: Pick<CallContext, "turn">,
): Promise<EnrolmentStatus> {
  const { isOpen } = requireEnrolment(deps);
  if (requested.kind === "revoke-tokens") return await revokeTokens(deps, requested.ids, context);
  const isClosing = requested.kind === "close" && isOpen;
  const left = isClosing ? notEnrolledServers(deps, deps.namespace().servers()) : [];
  if (left.length > 0 && requested.kind === "close" && !requested.isForced) {
    throw new AshlarError(
      "PRECONDITION_FAILED",
      `Cannot close the enrolment: expected that all live chunkservers have enrolled: ${left.map(serverLabel).join(", ")} ${left.length === 1 ? "has" : "have"} not`,
      {
        hint: "A chunkserver of this version enrols within a minute. With --force the others are refused from now on",
        details: { serverIds: left.map(({ serverId }) => serverId) },
      },
    );
  }
  const change = commandOf(deps, requested);
  await propose(deps, { kind: "change-enrolment", change });
  await context.turn();
  // Their heartbeats are refused from now on: no new write should choose them.
  for (const { serverId } of left) {
    if (!deps.registrations.isEnrolled(serverId)) deps.fleet.recordRefusal(serverId);
  }
  return statusOfEnrolment(deps);
}

type ProposedChange = Exclude<RequestedEnrolmentChange, { kind: "revoke-tokens" }>;

function commandOf({ env }: MasterDeps, requested: ProposedChange): EnrolmentChange {
  if (requested.kind !== "close") return requested;
  const chunkKey = env.random.bytes(CHUNK_KEY_BYTES);
  const { rotatesFrom } = requested;
  return { kind: "close", chunkKey, ...(rotatesFrom === undefined ? {} : { rotatesFrom }) };
}

/**
 * Revokes the valid join tokens with these ids, or all. An entry gives the token the shortest validity in
 * place of its own, and the next one removes it.
 */
async function revokeTokens(
  deps: MasterDeps,
  ids: readonly string[] | null,
  context: Pick<CallContext, "turn">,
): Promise<EnrolmentStatus> {
  const tokens = validTokens(deps, requireEnrolment(deps));
  const revoked = tokens.filter(({ hash }) => ids?.includes(joinTokenId(hash)) ?? true);
  const changeTo = (change: EnrolmentChange) => propose(deps, { kind: "change-enrolment", change });
  await Promise.all(
    revoked.map(({ hash }) => changeTo({ kind: "add-token", tokenHash: hash, validMs: 1 })),
  );
  await deps.env.clock.sleep(REVOKED_MS);
  await changeTo({ kind: "expire-tokens" });
  await context.turn();
  return statusOfEnrolment(deps);
}

function requireEnrolment(deps: MasterDeps): EnrolmentRecord {
  const record = deps.namespace().enrolment();
  if (record !== undefined) return record;
  if (deps.isFounding()) throw beingFounded();
  const { featureLevel } = deps.namespace();
  throw new AshlarError(
    "VERSION_MISMATCH",
    `Cannot enrol chunkservers: expected feature level ${FEATURE_LEVEL_ENROLMENT} or higher: current value is ${featureLevel}`,
    {
      hint: "Run `ashlar cluster finalize-upgrade` once every master runs a version that supports it. Below that level a chunkserver needs no token",
    },
  );
}
