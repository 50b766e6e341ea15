import { AshlarError } from "../base/errors.ts";
import { listenToAbort } from "../flow/abort-listeners.ts";
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
 * Dependencies of both ends of the wire.
 *
 * `slabs` holds received bodies. A server that also opens connections uses a separate pool for
 * them: received bodies that wait to be forwarded must not block the responses that they wait for.
 */
export interface WireDeps {
  readonly network: Network;
  readonly clock: Clock;
  readonly log: Log;
  readonly slabs: SlabPool;
}

/** Options of `connect`. */
export interface ConnectOptions {
  /** Identity of this end. */
  readonly identity: PeerIdentity;
  readonly expect?: PeerExpectation;
  /** Limit for the connection and the handshake together. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  readonly limits?: Partial<WireLimits>;
}

/**
 * Connects to `address` ("host:port") and performs the handshake.
 *
 * @throws {AshlarError} UNAVAILABLE if no process answers within `timeoutMs`; CANCELLED;
 *   PROTOCOL_ERROR if the process that answers does not speak the wire protocol; WRONG_ROLE,
 *   WRONG_CLUSTER, VERSION_MISMATCH, and every other error with which either end refuses the other.
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
  return await performHandshake(deps, link, { ...options, timeoutMs: leftMs });
}

function performHandshake(
  deps: WireDeps,
  link: Link,
  options: ConnectOptions,
): Promise<ClientConnection> {
  return new Promise((resolve, reject) => {
    const { identity, expect = {}, timeoutMs, signal } = options;
    const limits = { ...DEFAULT_WIRE_LIMITS, ...options.limits };
    const finish = (): void => {
      timer.cancel();
      unlisten?.();
    };
    const fail = (error: unknown): void => {
      finish();
      reject(error); // Must precede `fail`, whose `onClosed` rejects with a less precise error.
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
      const isOtherProtocol = error?.code === "PROTOCOL_ERROR";
      const reason = error?.message ?? "it closed the connection";
      reject(isOtherProtocol ? error : unavailable(link, reason));
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
    const unlisten = signal === undefined ? null : listenToAbort(signal, onAbort);
    if (signal?.aborted) onAbort();
    else postHello(multiplexer, FRAME_KINDS.hello, identity);
  });
}

function unavailable(link: Link, reason: string): AshlarError {
  return new AshlarError("UNAVAILABLE", `Cannot connect to ${link.peerAddress}: ${reason}`, {
    details: { address: link.peerAddress },
  });
}
