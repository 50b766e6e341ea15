import { present } from "../../shared/base/assert.ts";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { ClusterId, MemberId } from "../../shared/base/ids.ts";
import { raftHello } from "../../shared/protocol/raft-api.ts";
import type { Connection } from "../../shared/wire/rpc.ts";
import type { IncarnationRegister } from "./member-storage.ts";
import { checkOrigin, type Origin } from "./origin.ts";

/** Opens a connection to the member at `address` ("host:port"). */
export type Connect = (
  address: string,
  options: { readonly timeoutMs: number; readonly signal: AbortSignal },
) => Promise<Connection>;

/** Sender and receiver of every request between masters. */
export interface Envelope {
  readonly clusterId: ClusterId;
  readonly from: MemberId;
  readonly to: MemberId;
  readonly fromIncarnation: string;
  /** Address at which the sender accepts connections. Absent if it is not known. */
  readonly fromAddress?: string | undefined;
  /** History of the state of the sender. Absent without a state, and from an older version. */
  readonly origin?: Origin;
}

/** The identity that this member presents to its peers. */
export interface OwnIdentity {
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
  readonly incarnation: string;
  /** Address at which peers connect to this member. Empty if it is not known. */
  readonly address: string;
  /** Returns the history of the current state. A member that joins gets one with its first snapshot. */
  readonly origin: () => Origin;
}

/** Returns the envelope of a request from this member to member `to`. */
export function envelopeTo(own: OwnIdentity, to: MemberId): Envelope {
  const { clusterId, memberId, incarnation, address } = own;
  const origin = own.origin();
  return {
    clusterId,
    from: memberId,
    to,
    fromIncarnation: incarnation,
    ...(address === "" ? {} : { fromAddress: address }),
    ...(origin === undefined ? {} : { origin }),
  };
}

/**
 * Checks the envelope of a member of the group, including its history and incarnation. Resolves when that
 * incarnation is durably recorded.
 *
 * @throws {AshlarError} WRONG_CLUSTER; WRONG_IDENTITY if the request is for another member, the sender belongs
 *   to another restore, or another incarnation of it is recorded
 */
export async function checkSender(
  own: OwnIdentity,
  incarnations: IncarnationRegister,
  envelope: Envelope,
): Promise<void> {
  checkEnvelope(own, envelope);
  if (envelope.origin !== undefined) checkOrigin(own.origin(), envelope.from, envelope.origin);
  await incarnations.check(envelope.from, envelope.fromIncarnation);
}

/**
 * Checks everything in the envelope but the incarnation of the sender.
 *
 * @throws {AshlarError} WRONG_CLUSTER, WRONG_IDENTITY
 */
export function checkEnvelope(own: OwnIdentity, envelope: Envelope): void {
  if (envelope.clusterId !== own.clusterId) {
    throw new AshlarError(
      "WRONG_CLUSTER",
      `Cannot serve a member of cluster ${envelope.clusterId}: expected cluster ${own.clusterId}`,
    );
  }
  if (envelope.to !== own.memberId) {
    throw new AshlarError(
      "WRONG_IDENTITY",
      `Cannot serve a request for member ${envelope.to}: this is member ${own.memberId}`,
      { hint: "Check the addresses of the members in the config" },
    );
  }
  if (envelope.from === own.memberId) {
    throw new AshlarError(
      "WRONG_IDENTITY",
      `Cannot serve another process as member ${own.memberId}: this process has that id`,
    );
  }
}

/** Options of a handshake with a peer. */
export interface HandshakeOptions {
  readonly own: OwnIdentity;
  readonly incarnations: IncarnationRegister;
  readonly peer: { readonly id: MemberId; readonly address: string };
  readonly connect: Connect;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Called with the reply of the peer. */
  readonly onHandshake?: (reply: HandshakeReply) => void;
}

/** The reply of a peer: its identity, and its view of the membership. See `raft.hello`. */
export type HandshakeReply = ReturnType<(typeof raftHello)["parseResponse"]>;

/**
 * Connects to a peer and does the handshake. Resolves with the connection when each side has
 * accepted the identity of the other.
 *
 * @throws {AshlarError} WRONG_IDENTITY, WRONG_CLUSTER; the error of the connection
 */
export async function connectToPeer(options: HandshakeOptions): Promise<Connection> {
  const { incarnations, own, peer, onHandshake } = options;
  return connectWithHandshake(options, async (reply) => {
    checkOrigin(own.origin(), peer.id, reply.origin);
    await incarnations.check(peer.id, reply.incarnation);
    onHandshake?.(reply);
  });
}

/**
 * Connects to a member that will be added and returns its incarnation. The incarnation is not
 * compared with a recorded one: the entry that adds the member makes it the current one.
 *
 * @throws {AshlarError} MEMBER_UNREACHABLE if the address does not answer; WRONG_IDENTITY if
 *   another member answers, or the member would found a cluster; WRONG_CLUSTER
 */
export async function identifyPeer(
  options: Omit<HandshakeOptions, "incarnations">,
): Promise<{ readonly incarnation: string }> {
  const { id, address } = options.peer;
  let found: HandshakeReply | null = null;
  try {
    const connection = await connectWithHandshake(options, async (reply) => {
      checkOrigin(options.own.origin(), id, reply.origin);
      found = reply;
    });
    await connection.close(0);
  } catch (error) {
    if (!isAshlarError(error) || error.retry === "never") throw error;
    throw new AshlarError(
      "MEMBER_UNREACHABLE",
      `Cannot add member ${id}: no answer at ${address}: ${error.message}`,
      {
        cause: error,
        hint: "Start the master first, with join = true and an empty data directory",
        details: { address },
      },
    );
  }
  const reply = present<HandshakeReply>(found, "a completed handshake has a reply");
  if (reply.isFounding) {
    throw new AshlarError(
      "WRONG_IDENTITY",
      `Cannot add member ${id}: the master at ${address} has an empty data directory and join = false`,
      { hint: "Start the master with join = true and an empty data directory" },
    );
  }
  return { incarnation: reply.incarnation };
}

/** Connects, sends `raft.hello` and checks the reply. Closes the connection if a check fails. */
export async function connectWithHandshake(
  options: Omit<HandshakeOptions, "incarnations">,
  checkReply: (reply: HandshakeReply, connection: Connection) => Promise<void>,
): Promise<Connection> {
  const { peer, connect, timeoutMs, signal } = options;
  const connection = await connect(peer.address, { timeoutMs, signal });
  try {
    await checkReply(await sayHello(options, connection), connection);
    return connection;
  } catch (error) {
    await connection.close(0);
    throw error;
  }
}

/**
 * Sends `raft.hello` over an open connection.
 *
 * @throws {AshlarError} WRONG_IDENTITY if another member answers, or the peer refuses this member;
 *   WRONG_CLUSTER
 */
export async function sayHello(
  { own, peer, timeoutMs, signal }: Omit<HandshakeOptions, "incarnations">,
  connection: Connection,
): Promise<HandshakeReply> {
  const reply = await connection.call(raftHello, envelopeTo(own, peer.id), { timeoutMs, signal });
  reply.release();
  const { memberId } = reply.head;
  if (memberId === peer.id) return reply.head;
  throw new AshlarError(
    "WRONG_IDENTITY",
    `Cannot use ${peer.address}: expected member ${peer.id}: current value is ${memberId}`,
  );
}
