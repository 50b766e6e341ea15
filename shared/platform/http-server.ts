import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import Koa, { type Middleware } from "koa";
import { AshlarError } from "../base/errors.ts";
import { formatAddress, parseAddress } from "../display/addresses.ts";
import type { Log } from "../ports/log.ts";
import { errnoOf } from "./disk-error.ts";
import { errorResponse } from "./http-errors.ts";

const HEADER_BYTES_MAX = 16 * 1024;
const HEADERS_TIMEOUT_MS = 10_000;

export interface HttpServerOptions {
  /** "host:port"; port 0 takes a free one. */
  readonly address: string;
  /** Called in order, inside of the middleware that turns errors into responses. */
  readonly middleware: readonly Middleware[];
  readonly log: Log;
  readonly connectionsMax?: number;
  /**
   * A request must have arrived whole within so long, its body included. 0 for a server that takes
   * uploads: it has to bound them itself.
   */
  readonly requestTimeoutMs?: number;
  /** How long `close` waits for responses under way before it cuts them. */
  readonly closeGraceMs?: number;
}

/** The outer face of a process. Disposing it takes no more requests and lets those under way end. */
export interface HttpServer extends AsyncDisposable {
  /** "host:port" with the port that was really taken. */
  readonly address: string;
  close(): Promise<void>;
}

/**
 * Resolves when requests are being taken.
 *
 * @throws {AshlarError} ADDRESS_IN_USE with the address; INVALID_ARGUMENT for one that is not ours.
 */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const closing = new AbortController();
  const app = new Koa();
  app.on("error", (error: Error) => options.log.debug("An HTTP response was cut", { error }));
  app.use(errorResponse(options.log));
  app.use(async (context, next) => {
    await next();
    // A connection that stayed open would hold up `close`.
    if (closing.signal.aborted) context.set("Connection", "close");
  });
  for (const middleware of options.middleware) app.use(middleware);

  const server = createServer({ maxHeaderSize: HEADER_BYTES_MAX }, app.callback());
  server.headersTimeout = HEADERS_TIMEOUT_MS;
  server.requestTimeout = options.requestTimeoutMs ?? 60_000;
  server.maxConnections = options.connectionsMax ?? 1024;
  const address = await listen(server, options.address);

  let closed: Promise<void> | null = null;
  const close = (): Promise<void> => {
    closing.abort();
    closed ??= closeServer(server, options.closeGraceMs ?? 5_000);
    return closed;
  };
  return { address, close, [Symbol.asyncDispose]: close };
}

function listen(server: Server, address: string): Promise<string> {
  const { host, port } = parseAddress(address);
  return new Promise((resolve, reject) => {
    server.once("error", (cause) => reject(listenError(address, cause)));
    server.listen({ host, port }, () => {
      server.removeAllListeners("error");
      server.on("error", () => {}); // A connection that could not be accepted: its peer tries again.
      const taken = server.address() as AddressInfo;
      resolve(formatAddress({ host, port: taken.port }));
    });
  });
}

function listenError(address: string, cause: Error): AshlarError {
  const inUse = errnoOf(cause) === "EADDRINUSE";
  return new AshlarError(
    inUse ? "ADDRESS_IN_USE" : "INVALID_ARGUMENT",
    `Cannot listen at ${address}: ${errnoOf(cause)}`,
    { cause, ...(inUse ? { hint: "Another process listens there; choose another port" } : {}) },
  );
}

function closeServer(server: Server, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const cut = setTimeout(() => server.closeAllConnections(), graceMs);
    // Idle connections are closed by `close` itself (Node 19 and later).
    server.close(() => {
      clearTimeout(cut);
      resolve();
    });
  });
}
