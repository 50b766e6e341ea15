import { AshlarError } from "../base/errors.ts";
import type { ClusterId } from "../base/ids.ts";
import type { SlabPool } from "../flow/slabs.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { Network } from "../ports/network.ts";
import type { WireLimits } from "./limits.ts";
import type { Connection, Identity, Role } from "./rpc.ts";

/**
 * What the wire takes from the world.
 *
 * `slabs` holds the bodies that were received. A server that also opens connections gives these a
 * pool of their own: bodies that wait to be passed on must not keep the answers from being read.
 */
export interface WireWorld {
  readonly network: Network;
  readonly clock: Clock;
  readonly log: Log;
  readonly slabs: SlabPool;
}

export interface Expectation {
  /** WRONG_ROLE if the other end has another. */
  readonly role?: Role;
  /** WRONG_CLUSTER if the other end is of another; `null` and absent take any. */
  readonly clusterId?: ClusterId | null;
}

export interface ConnectOptions {
  readonly identity: Identity;
  readonly expect?: Expectation;
  /** For the connection and the handshake together. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  readonly limits?: Partial<WireLimits>;
}

/**
 * Connects to `address` ("host:port") and shakes hands.
 *
 * @throws {AshlarError} UNAVAILABLE if nobody answers in time; CANCELLED; WRONG_ROLE, WRONG_CLUSTER,
 *   VERSION_MISMATCH and what else either end refuses the other for.
 */
export async function connect(
  world: WireWorld,
  address: string,
  options: ConnectOptions,
): Promise<Connection> {
  const { timeoutMs } = options;
  await world.network.connect(address, { timeoutMs });
  throw new AshlarError("UNSUPPORTED", "Cannot connect: not written yet");
}
