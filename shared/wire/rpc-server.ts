import { AshlarError } from "../base/errors.ts";
import type { CallMethod, StreamMethod } from "../protocol/method.ts";
import type { WireWorld } from "./connect.ts";
import type { WireLimits } from "./limits.ts";
import type { CallHandler, Handlers, Identity, StreamHandler } from "./rpc.ts";

export interface RpcServerOptions {
  /** Asked at every handshake: a cluster id may be learned late. */
  readonly identity: () => Identity;
  /**
   * Refuses a peer by throwing an AshlarError, which reaches it. A peer that names another cluster
   * is refused with WRONG_CLUSTER before it is asked.
   */
  readonly accept?: (peer: Identity, peerAddress: string) => void;
  readonly limits?: Partial<WireLimits>;
  /** Further connections are refused with OVERLOADED. Default 4096. */
  readonly connectionsMax?: number;
}

/**
 * Answers calls and streams at one address.
 *
 * Register handlers, then `listen`. Disposing it closes it with a grace of 5 seconds.
 */
export class RpcServer implements Handlers, AsyncDisposable {
  constructor(world: WireWorld, options: RpcServerOptions) {}

  onCall<Request, Response>(
    method: CallMethod<Request, Response>,
    handler: CallHandler<Request, Response>,
  ): void {}

  onStream<Open, Up, Down>(
    method: StreamMethod<Open, Up, Down>,
    handler: StreamHandler<Open, Up, Down>,
  ): void {}

  /**
   * Accepts connections at `address` ("host:port"; port 0 takes a free one). Resolves with the
   * address that was really taken.
   *
   * @throws {AshlarError} ADDRESS_IN_USE
   */
  listen(address: string): Promise<string> {
    throw new AshlarError("UNSUPPORTED", "Cannot listen: not written yet");
  }

  /**
   * Stops accepting, tells the peers to go elsewhere, waits for what is in flight (at most
   * `graceMs`), cancels the rest and closes. New requests fail with UNAVAILABLE at once.
   */
  close(graceMs: number): Promise<void> {
    throw new AshlarError("UNSUPPORTED", "Cannot close: not written yet");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close(5000);
  }
}
