import { AshlarError } from "../base/errors.ts";
import type { SlabPool } from "../flow/slabs.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { Link, Network } from "../ports/network.ts";
import { ClientConnection } from "./client-connection.ts";
import { FRAME_KINDS } from "./frame.ts";
import type { Frame } from "./frame-reader.ts";
import {
  checkPeer,
  checkVersion,
  type Expectation,
  Handshake,
  postHello,
  readHello,
} from "./handshake.ts";
import { DEFAULT_WIRE_LIMITS, type WireLimits } from "./limits.ts";
import type { Identity } from "./rpc.ts";
import { Session } from "./session.ts";

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
 * @throws {AshlarError} UNAVAILABLE if nobody answers in time; CANCELLED; PROTOCOL_ERROR if it is no
 *   Ashlar that answers; WRONG_ROLE, WRONG_CLUSTER, VERSION_MISMATCH and what else either end
 *   refuses the other for.
 */
export async function connect(
  world: WireWorld,
  address: string,
  options: ConnectOptions,
): Promise<ClientConnection> {
  const { timeoutMs, signal } = options;
  const startMs = world.clock.monotonicMs();
  const link = await world.network.connect(address, {
    timeoutMs,
    ...(signal === undefined ? {} : { signal }),
  });
  const leftMs = Math.max(0, timeoutMs - (world.clock.monotonicMs() - startMs));
  return await shakeHands(world, link, { ...options, timeoutMs: leftMs });
}

function shakeHands(
  world: WireWorld,
  link: Link,
  options: ConnectOptions,
): Promise<ClientConnection> {
  return new Promise((resolve, reject) => {
    const { identity, expect = {}, timeoutMs, signal } = options;
    const limits = { ...DEFAULT_WIRE_LIMITS, ...options.limits };
    const finish = (): void => {
      timer.cancel();
      signal?.removeEventListener("abort", onAbort);
    };
    const fail = (error: unknown): void => {
      finish();
      reject(error); // Before the session says that it is closed.
      session.fail(null);
    };
    const onFrame = (frame: Frame): void => {
      try {
        const hello = readHello(frame, FRAME_KINDS.welcome);
        checkVersion(hello, link.peerAddress);
        checkPeer(hello.identity, expect, link.peerAddress);
        finish();
        resolve(new ClientConnection(world.clock, session, hello));
      } catch (error) {
        fail(error);
      }
    };
    const onClosed = (error: AshlarError | null): void => {
      finish();
      const isStranger = error?.code === "PROTOCOL_ERROR";
      reject(isStranger ? error : unavailable(link, error?.message ?? "it closed the connection"));
    };
    const session = new Session(world, link, limits, new Handshake({ onFrame, onClosed }));
    const onAbort = (): void =>
      fail(
        new AshlarError("CANCELLED", `The connection to ${link.peerAddress} was cancelled`, {
          cause: signal?.reason,
        }),
      );
    const timer = world.clock.after(timeoutMs, () => fail(unavailable(link, "it does not answer")));
    signal?.addEventListener("abort", onAbort, { once: true });
    if (signal?.aborted) onAbort();
    else postHello(session, FRAME_KINDS.hello, identity);
  });
}

function unavailable(link: Link, reason: string): AshlarError {
  return new AshlarError("UNAVAILABLE", `Cannot shake hands with ${link.peerAddress}: ${reason}`, {
    details: { address: link.peerAddress },
  });
}
