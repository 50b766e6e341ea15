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
  HandshakeHandler,
  type PeerExpectation,
  postHello,
  readHello,
} from "./handshake.ts";
import { DEFAULT_WIRE_LIMITS, type WireLimits } from "./limits.ts";
import { Multiplexer } from "./multiplexer.ts";
import type { PeerIdentity } from "./rpc.ts";

/**
 * What the wire takes from the deps.
 *
 * `slabs` holds the bodies that were received. A server that also opens connections gives these a
 * pool of their own: bodies that wait to be passed on must not keep the answers from being read.
 */
export interface WireDeps {
  readonly network: Network;
  readonly clock: Clock;
  readonly log: Log;
  readonly slabs: SlabPool;
}

export interface ConnectOptions {
  readonly identity: PeerIdentity;
  readonly expect?: PeerExpectation;
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
  deps: WireDeps,
  address: string,
  options: ConnectOptions,
): Promise<ClientConnection> {
  const { timeoutMs, signal } = options;
  const startMs = deps.clock.monotonicMs();
  const link = await deps.network.connect(address, {
    timeoutMs,
    ...(signal === undefined ? {} : { signal }),
  });
  const leftMs = Math.max(0, timeoutMs - (deps.clock.monotonicMs() - startMs));
  return await shakeHands(deps, link, { ...options, timeoutMs: leftMs });
}

function shakeHands(
  deps: WireDeps,
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
      multiplexer.fail(null);
    };
    const onFrame = (frame: Frame): void => {
      try {
        const hello = readHello(frame, FRAME_KINDS.welcome);
        checkVersion(hello, link.peerAddress);
        checkPeer(hello.identity, expect, link.peerAddress);
        finish();
        resolve(new ClientConnection(deps.clock, multiplexer, hello));
      } catch (error) {
        fail(error);
      }
    };
    const onClosed = (error: AshlarError | null): void => {
      finish();
      const isStranger = error?.code === "PROTOCOL_ERROR";
      reject(isStranger ? error : unavailable(link, error?.message ?? "it closed the connection"));
    };
    const multiplexer = new Multiplexer(
      deps,
      link,
      limits,
      new HandshakeHandler({ onFrame, onClosed }),
    );
    const onAbort = (): void =>
      fail(
        new AshlarError("CANCELLED", `The connection to ${link.peerAddress} was cancelled`, {
          cause: signal?.reason,
        }),
      );
    const timer = deps.clock.after(timeoutMs, () => fail(unavailable(link, "it does not answer")));
    signal?.addEventListener("abort", onAbort, { once: true });
    if (signal?.aborted) onAbort();
    else postHello(multiplexer, FRAME_KINDS.hello, identity);
  });
}

function unavailable(link: Link, reason: string): AshlarError {
  return new AshlarError("UNAVAILABLE", `Cannot shake hands with ${link.peerAddress}: ${reason}`, {
    details: { address: link.peerAddress },
  });
}
