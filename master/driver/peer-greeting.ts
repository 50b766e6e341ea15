import { AshlarError } from "../../shared/base/errors.ts";
import type { ClusterId, MemberId } from "../../shared/base/ids.ts";
import { raftHello } from "../../shared/protocol/raft-api.ts";
import type { Connection } from "../../shared/wire/rpc.ts";
import type { Connect } from "./driver-options.ts";
import type { PeerRegister } from "./member-storage.ts";

/** Who speaks to whom: the envelope of everything that masters say to each other. */
export interface Envelope {
  readonly clusterId: ClusterId;
  readonly from: MemberId;
  readonly to: MemberId;
  readonly fromIncarnation: string;
}

/** This member, as its peers are to know it. */
export interface OwnIdentity {
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
  readonly incarnation: string;
}

export function envelopeTo(own: OwnIdentity, to: MemberId): Envelope {
  const { clusterId, memberId, incarnation } = own;
  return { clusterId, from: memberId, to, fromIncarnation: incarnation };
}

/**
 * Resolves if whoever sent `envelope` may be listened to.
 *
 * @throws {AshlarError} WRONG_CLUSTER; WRONG_IDENTITY if it takes this member for another, or has
 *   another incarnation than when it was met first.
 */
export async function checkSender(
  own: OwnIdentity,
  peers: PeerRegister,
  envelope: Envelope,
): Promise<void> {
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
  await peers.check(envelope.from, envelope.fromIncarnation);
}

export interface GreetOptions {
  readonly own: OwnIdentity;
  readonly peers: PeerRegister;
  readonly peer: { readonly id: MemberId; readonly address: string };
  readonly connect: Connect;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** A connection to the peer, once each of the two knows the other for who it is. */
export async function connectToPeer(options: GreetOptions): Promise<Connection> {
  const { own, peers, peer, connect, timeoutMs, signal } = options;
  const connection = await connect(peer.address, { timeoutMs, signal });
  try {
    const envelope = envelopeTo(own, peer.id);
    const reply = await connection.call(raftHello, envelope, { timeoutMs, signal });
    const { memberId, incarnation } = reply.head;
    reply.release();
    if (memberId !== peer.id) {
      throw new AshlarError(
        "WRONG_IDENTITY",
        `Cannot use ${peer.address}: expected member ${peer.id}: it is member ${memberId}`,
      );
    }
    await peers.check(memberId, incarnation);
    return connection;
  } catch (error) {
    await connection.close(0);
    throw error;
  }
}
