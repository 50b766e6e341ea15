import { createServer, connect as netConnect, type Server, type Socket } from "node:net";
import { formatAddress, parseAddress } from "../base/address.ts";
import { AshlarError } from "../base/errors.ts";
import { listenToAbort } from "../flow/abort-listeners.ts";
import type { ConnectOptions, Link, Listener, Network } from "../ports/network.ts";
import { errnoOf } from "./disk-error.ts";
import { errnoWords } from "./errno-words.ts";
import { SystemClock } from "./system-clock.ts";
import { SocketReader, TcpLink } from "./tcp-link.ts";
import { adoptWithUserBuffer, copyInto, onReadOptions, type UserBuffer } from "./user-buffer.ts";

/**
 * Small messages are sent without delay (TCP_NODELAY). The system probes an idle connection after
 * 30 s, for protocols without pings. The internal wire has its own pings.
 */
const SOCKET_OPTIONS = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000 } as const;

/**
 * Connections that wait until this process accepts them. After a change of leader all chunkservers and
 * clients connect in the same second. The system drops those above the bound, and they try again after
 * 1 s, 3 s and 7 s (RFC 6298): longer than the timeouts of the callers. `net.core.somaxconn` is the
 * upper limit: 4,096 by default.
 */
const BACKLOG = 4_096;

/** Options of `TcpNetwork`. */
export interface TcpNetworkOptions {
  /**
   * Makes a socket read into the given buffers. Returns null if Node does not support it. The bytes
   * are then copied.
   */
  readonly adopt?: (accepted: Socket, onread: UserBuffer) => Socket | null;
}

/** TCP. Bytes are read directly into the receiver's buffers. */
export class TcpNetwork implements Network {
  readonly #adopt: (accepted: Socket, onread: UserBuffer) => Socket | null;

  constructor(options: TcpNetworkOptions = {}) {
    this.#adopt = options.adopt ?? adoptWithUserBuffer;
  }

  connect(address: string, options: ConnectOptions): Promise<Link> {
    const { timeoutMs, signal } = options;
    return new Promise((resolve, reject) => {
      const { host, port } = parseAddress(address);
      if (signal?.aborted) {
        reject(cancelled(address, signal.reason));
        return;
      }
      const reader = new SocketReader();
      const socket = netConnect({ host, port, ...SOCKET_OPTIONS, onread: onReadOptions(reader) });
      const finish = (): void => {
        timeout.cancel();
        unlisten?.();
        socket.off("error", onError);
        socket.off("connect", onConnect);
      };
      const fail = (error: AshlarError): void => {
        finish();
        socket.on("error", () => {}); // The promise is rejected already.
        socket.destroy();
        reject(error);
      };
      const onError = (error: Error): void =>
        fail(unavailable(address, errnoWords(errnoOf(error)), error));
      const onAbort = (): void => fail(cancelled(address, signal?.reason));
      const onConnect = (): void => {
        finish();
        resolve(new TcpLink(socket, reader));
      };
      const onTimeout = (): void =>
        fail(unavailable(address, `no response within ${Math.round(timeoutMs)} ms`));
      const timeout = new SystemClock().after(Math.max(0, timeoutMs), onTimeout);
      const unlisten = signal === undefined ? null : listenToAbort(signal, onAbort);
      socket.on("error", onError);
      socket.on("connect", onConnect);
    });
  }

  listen(address: string, onLink: (link: Link) => void): Promise<Listener> {
    return new Promise((resolve, reject) => {
      const { host, port } = parseAddress(address);
      const server = createServer({ ...SOCKET_OPTIONS, pauseOnConnect: true }, (accepted) => {
        const reader = new SocketReader();
        const adopted = this.#adopt(accepted, reader);
        if (adopted === null) copyInto(accepted, reader);
        onLink(new TcpLink(adopted ?? accepted, reader));
      });
      server.once("error", (error) => reject(listenError(address, error)));
      // `exclusive`: worker threads and child processes do not share the port.
      server.listen({ host, port, exclusive: true, backlog: BACKLOG }, () => {
        server.removeAllListeners("error");
        server.on("error", () => {}); // A connection was not accepted: the peer retries.
        resolve(listenerOf(server, host));
      });
    });
  }
}

function listenerOf(server: Server, host: string): Listener {
  const bound = server.address();
  const port = typeof bound === "object" && bound !== null ? bound.port : 0;
  return {
    address: formatAddress({ host, port }),
    close: () =>
      new Promise((resolve) => {
        // Not awaited: sockets that were not adopted belong to the server while their links are
        // open.
        server.close();
        resolve();
      }),
  };
}

function unavailable(address: string, reason: string, cause?: Error): AshlarError {
  return new AshlarError("UNAVAILABLE", `Cannot connect to ${address}: ${reason}`, {
    ...(cause === undefined ? {} : { cause }),
    details: { address },
  });
}

function cancelled(address: string, cause: unknown): AshlarError {
  return new AshlarError("CANCELLED", `Cannot connect to ${address}: the caller cancelled`, {
    cause,
  });
}

function listenError(address: string, cause: Error): AshlarError {
  const errno = errnoOf(cause);
  if (errno === "EADDRINUSE") {
    return new AshlarError("ADDRESS_IN_USE", `Cannot listen on ${address}: the address is in use`, {
      cause,
      details: { address },
      hint: "Stop the process that listens there, or choose another port",
    });
  }
  return new AshlarError("UNAVAILABLE", `Cannot listen on ${address}: ${errnoWords(errno)}`, {
    cause,
    details: { address, errno },
  });
}
