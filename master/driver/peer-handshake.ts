import { present } from "../../shared/base/assert.ts";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { ClusterId, MemberId } from "../../shared/base/ids.ts";
import { raftHello } from "../../shared/protocol/raft-api.ts";
import type { Connection } from "../../shared/wire/rpc.ts";
import type { IncarnationRegister } from "./member-storage.ts";

/** Opens a connection to the member at `address` ("host:port"). */
export type Connect = (
  address: string,
  options: { readonly timeoutMs: number; readonly signal: AbortSignal },
) => Promise<Connection>;

/** Who speaks to whom: the envelope of everything that masters say to each other. */
export interface Envelope {
  readonly clusterId: ClusterId;
  readonly from: MemberId;
  readonly to: MemberId;
  readonly fromIncarnation: string;
  readonly fromAddress?: string | undefined;
}

/** This member, as its peers are to know it. */
export interface OwnIdentity {
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
  readonly incarnation: string;
  /** Where its peers reach it. */
  readonly address: string;
}

export function envelopeTo(own: OwnIdentity, to: MemberId): Envelope {
  const { clusterId, memberId, incarnation, address } = own;
  return {
    clusterId,
    from: memberId,
    to,
    fromIncarnation: incarnation,
    ...(address === "" ? {} : { fromAddress: address }),
  };
}

/**
 * Resolves if whoever sent `envelope` may be listened to.
 *
 * @throws {AshlarError} WRONG_CLUSTER; WRONG_IDENTITY if it takes this member for another, or has
 *   another incarnation than when it was met first.
 */
export async function checkSender(
  own: OwnIdentity,
  peers: IncarnationRegister,
  envelope: Envelope,
): Promise<void> {
  checkEnvelope(own, envelope);
  await peers.check(envelope.from, envelope.fromIncarnation);
}

/** What can be said of a sender whose incarnation does not matter, or not yet. */
export function checkEnvelope(own: OwnIdentity, envelope: Envelope): void {
  if (envelope.clusterId !== own.clusterId) {
    throw new AshlarError(
      "WRONG_CLUSTER",
      `Cannot take part with cluster ${envelope.clusterId}: this is cluster ${own.clusterId}`,
    );
  }
  if (envelope.to !== own.memberId) {
    throw new AshlarError(
      "WRONG_IDENTITY",
      `Cannot answer as member ${envelope.to}: this is member ${own.memberId}`,
      { hint: "Check the addresses of the members in the config" },
    );
  }
  if (envelope.from === own.memberId) {
    throw new AshlarError("WRONG_IDENTITY", `Cannot take part twice as member ${own.memberId}`);
  }
}

export interface HandshakeOptions {
  readonly own: OwnIdentity;
  readonly incarnations: IncarnationRegister;
  readonly peer: { readonly id: MemberId; readonly address: string };
  readonly connect: Connect;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** What the peer said of us. */
  readonly onHandshake?: (reply: HandshakeReply) => void;
}

export type HandshakeReply = ReturnType<(typeof raftHello)["parseResponse"]>;

/** A connection to the peer, once each of the two knows the other for who it is. */
export async function connectToPeer(options: HandshakeOptions): Promise<Connection> {
  const { incarnations, peer, onHandshake } = options;
  return connectWithHandshake(options, async (reply) => {
    await incarnations.check(peer.id, reply.incarnation);
    onHandshake?.(reply);
  });
}

/**
 * Who listens at the address of a member that is to be added. Its incarnation is not held against
 * what is remembered: it will be what counts.
 *
 * @throws {AshlarError} MEMBER_UNREACHABLE if nobody answers; WRONG_IDENTITY, WRONG_CLUSTER.
 */
export async function identifyPeer(
  options: Omit<HandshakeOptions, "incarnations">,
): Promise<{ readonly incarnation: string }> {
  const { id, address } = options.peer;
  let found: HandshakeReply | null = null;
  try {
    const connection = await connectWithHandshake(options, async (reply) => {
      found = reply;
    });
    await connection.close(0);
  } catch (error) {
    if (!isAshlarError(error) || error.retry === "never") throw error;
    throw new AshlarError(
      "MEMBER_UNREACHABLE",
      `Cannot add member ${id}: nobody answers at ${address}: ${error.message}`,
      {
        cause: error,
        hint: "Start it first, with join = true and an empty data directory",
        details: { address },
      },
    );
  }
  const reply = present<HandshakeReply>(found, "who was greeted has answered");
  if (reply.isFounding) {
    throw new AshlarError(
      "WRONG_IDENTITY",
      `Cannot add member ${id}: the master at ${address} has an empty directory and was told to found a cluster`,
      { hint: "Start it with join = true, and an empty data directory" },
    );
  }
  return { incarnation: reply.incarnation };
}

async function connectWithHandshake(
  options: Omit<HandshakeOptions, "incarnations">,
  take: (reply: HandshakeReply) => Promise<void>,
): Promise<Connection> {
  const { own, peer, connect, timeoutMs, signal } = options;
  const connection = await connect(peer.address, { timeoutMs, signal });
  try {
    const envelope = envelopeTo(own, peer.id);
    const reply = await connection.call(raftHello, envelope, { timeoutMs, signal });
    reply.release();
    const { memberId } = reply.head;
    if (memberId !== peer.id) {
      throw new AshlarError(
        "WRONG_IDENTITY",
        `Cannot use ${peer.address}: expected member ${peer.id}: it is member ${memberId}`,
      );
    }
    await take(reply.head);
    return connection;
  } catch (error) {
    await connection.close(0);
    throw error;
  }
}
