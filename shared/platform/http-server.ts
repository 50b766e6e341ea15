import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Middleware } from "koa";
import { formatAddress, parseAddress } from "../base/address.ts";
import { AshlarError } from "../base/errors.ts";
import type { Log } from "../ports/log.ts";
import { errnoOf } from "./disk-error.ts";
import { errnoWords } from "./errno-words.ts";
import { limitConnections } from "./http-clients.ts";
import type { AnswerError } from "./http-errors.ts";
import { onFirstRequest } from "./http-first-request.ts";
import { SystemClock } from "./system-clock.ts";

const HEADER_BYTES_MAX = 16 * 1024;
const HEADERS_TIMEOUT_MS = 10_000;

/** Options of `startHttpServer`. */
export interface HttpServerOptions {
  /** "host:port"; port 0 lets the system choose a free port. */
  readonly address: string;
  /**
   * Called in order, inside the middleware that turns errors into responses. A function returns the
   * list at the first request: koa and the modules of the handlers take a fifth of the CPU time of
   * the start of a daemon, and many daemons never receive a request.
   */
  readonly middleware: readonly Middleware[] | (() => Promise<readonly Middleware[]>);
  readonly log: Log;
  /** Most open connections. A further one is answered with status 503 and closed. */
  readonly connectionsMax?: number;
  /** Most open connections of one client. A further one is answered with status 429 and closed. */
  readonly connectionsPerClientMax?: number;
  /** Writes the response to a request that failed. Default: JSON, see `errorResponse`. */
  readonly answerError?: AnswerError;
  /**
   * A request must arrive completely, including its body, within this time. 0 (no limit) for a
   * server that accepts uploads and has its own limit for them.
   */
  readonly requestTimeoutMs?: number;
  /** Time that `close` waits for pending responses before it closes their connections. */
  readonly closeGraceMs?: number;
}

/** A running HTTP server. Disposing it refuses new requests and waits for pending requests. */
export interface HttpServer extends AsyncDisposable {
  /** "host:port" with the IP address and the port that are bound. */
  readonly address: string;
  close(): Promise<void>;
}

/**
 * Starts an HTTP server. Resolves when it accepts requests.
 *
 * @throws {AshlarError} ADDRESS_IN_USE with the address; INVALID_ARGUMENT for an address that is
 *   not one of this machine
 */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const closing = new AbortController();
  const callback = await requestListener(options, closing.signal);
  const server = createServer({ maxHeaderSize: HEADER_BYTES_MAX }, callback);
  // Without this listener Node sends status 100 before a handler can refuse the request. A handler
  // that reads a body calls `writeContinue` first.
  server.on("checkContinue", callback);
  server.headersTimeout = HEADERS_TIMEOUT_MS;
  server.maxHeadersCount = 0; // Node ignores headers beyond it. HEADER_BYTES_MAX bounds them.
  server.requestTimeout = options.requestTimeoutMs ?? 60_000;
  const max = options.connectionsMax ?? 1024;
  limitConnections(server, { max, perClientMax: options.connectionsPerClientMax ?? max });
  const address = await listen(server, options.address);

  let closed: Promise<void> | null = null;
  const close = (): Promise<void> => {
    closing.abort();
    closed ??= closeServer(server, options.closeGraceMs ?? 5_000);
    return closed;
  };
  return { address, close, [Symbol.asyncDispose]: close };
}

/** Returns the handler of all requests, which loads its modules now or at the first request. */
async function requestListener(
  options: HttpServerOptions,
  closing: AbortSignal,
): Promise<RequestListener> {
  const { middleware } = options;
  const load = async (list: readonly Middleware[]): Promise<RequestListener> => {
    const { createListener } = await import("./http-listener.ts");
    return createListener({ ...options, middleware: list, closing });
  };
  if (typeof middleware !== "function") return load(middleware);
  return onFirstRequest(async () => load(await middleware()), options.log);
}

function listen(server: Server, address: string): Promise<string> {
  const { host, port } = parseAddress(address);
  return new Promise((resolve, reject) => {
    server.once("error", (cause) => reject(listenError(address, cause)));
    server.listen({ host, port }, () => {
      server.removeAllListeners("error");
      server.on("error", () => {}); // A connection was not accepted: the peer retries.
      const boundAddress = server.address() as AddressInfo;
      resolve(formatAddress({ host: boundAddress.address, port: boundAddress.port }));
    });
  });
}

function listenError(address: string, cause: Error): AshlarError {
  const inUse = errnoOf(cause) === "EADDRINUSE";
  return new AshlarError(
    inUse ? "ADDRESS_IN_USE" : "INVALID_ARGUMENT",
    `Cannot listen at ${address}: ${errnoWords(errnoOf(cause))}`,
    { cause, ...(inUse ? { hint: "Another process listens there; choose another port" } : {}) },
  );
}

function closeServer(server: Server, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const cut = new SystemClock().after(graceMs, () => server.closeAllConnections());
    // Idle connections are closed by `close` itself (Node 19 and later).
    server.close(() => {
      cut.cancel();
      resolve();
    });
  });
}
