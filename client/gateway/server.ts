import type { Context, Middleware } from "koa";
import pLimit from "p-limit";
import { AshlarError } from "../../shared/base/errors.ts";
import { Closers } from "../../shared/flow/closers.ts";
import { clientOf } from "../../shared/platform/http-clients.ts";
import { healthRoutes } from "../../shared/platform/http-health.ts";
import { startHttpServer } from "../../shared/platform/http-server.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { Counter, Metrics } from "../../shared/ports/metrics.ts";
import type { GatewayConfig } from "./config.ts";
import { deletePath } from "./delete-path.ts";
import { drainRefused } from "./drain-refused.ts";
import { answerError } from "./error-answer.ts";
import type { GatewayFiles, GatewayRequest } from "./gateway-request.ts";
import { getPath } from "./get-path.ts";
import { refuseForeignHosts, refuseForeignOrigins, securityHeaders } from "./guards.ts";
import { postFiles } from "./post-files.ts";
import { putPath } from "./put-path.ts";
import { Readiness } from "./readiness.ts";
import { FILES_ROOT, parseRequestPath, parseRequestTarget } from "./request-path.ts";
import { RequestScope } from "./request-scope.ts";
import { TransferSlots } from "./transfer-slots.ts";

/** Dependencies of the gateway. */
export interface GatewayDeps {
  readonly files: GatewayFiles;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly scrape: () => Promise<{ readonly contentType: string; readonly text: string }>;
}

/**
 * A running gateway. Disposing it stops accepting requests and waits for those in progress. It does
 * not close `files`.
 */
export interface Gateway extends AsyncDisposable {
  /** "host:port" with the actual port. */
  readonly address: string;
}

const FILES = new RegExp(`^${FILES_ROOT}(?:/|$)`);
/** Listings that read a whole directory at the same time. They take much CPU. */
const SCANS_AT_ONCE_MAX = 2;
const METHODS = "GET, HEAD, PUT, POST, DELETE, OPTIONS";
const HANDLERS: Readonly<Record<string, (request: GatewayRequest) => Promise<void>>> = {
  GET: getPath,
  HEAD: getPath,
  PUT: putPath,
  POST: postFiles,
  DELETE: deletePath,
};

/**
 * Starts a gateway. Resolves when it serves.
 *
 * @throws {AshlarError} ADDRESS_IN_USE, INVALID_ARGUMENT
 */
export async function startGateway(config: GatewayConfig, deps: GatewayDeps): Promise<Gateway> {
  await using closers = new Closers();
  const limits = {
    max: config.transfersMax,
    perClientMax: config.transfersPerClientMax,
    waitMsMax: config.transferWaitMs,
  };
  const slots = new TransferSlots(limits, deps.clock);
  const readiness = closers.use(new Readiness(deps.files, deps.clock));
  const server = closers.use(
    await startHttpServer({
      address: config.listen,
      log: deps.log,
      connectionsMax: config.connectionsMax,
      connectionsPerClientMax: config.connectionsPerClientMax,
      answerError,
      requestTimeoutMs: 0, // An upload has no time limit while it progresses: see RequestScope.
      closeGraceMs: config.stopGraceMs,
      middleware: [
        countRequests(deps.metrics, deps.log),
        securityHeaders(),
        refuseForeignHosts(config),
        healthRoutes({ ready: () => readinessOf(readiness, slots), scrape: deps.scrape }),
        drainRefused(),
        refuseForeignOrigins(),
        fileRoutes(config, deps, slots),
      ],
    }),
  );
  const owned = closers.move();
  return { address: server.address, [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose]() };
}

/** Returns whether the gateway can serve: the masters answer, and a slot is free. */
function readinessOf(readiness: Readiness, slots: TransferSlots): Readiness["state"] {
  if (!readiness.state.ready || slots.hasFree) return readiness.state;
  return { ready: false, reason: `no transfer slot is free: ${slots.used} are in use` };
}

function fileRoutes(
  config: GatewayConfig,
  { files, log, metrics }: GatewayDeps,
  slots: TransferSlots,
): Middleware {
  metrics.gauge("ashlar_gateway_transfers", "Bodies in transfer", () => slots.used);
  const bytes = metrics.counter("ashlar_gateway_bytes_total", "Transferred bytes of files", [
    "direction",
  ]);
  const scans = pLimit(SCANS_AT_ONCE_MAX);
  return async (context, next) => {
    const target = parseRequestTarget(context.req.url ?? "");
    if (target.path === "/" && isRead(context)) return context.redirect(`${FILES_ROOT}/`);
    if (!FILES.test(target.path)) return await next();
    const handler = HANDLERS[context.method];
    if (handler === undefined) return refuseMethod(context);
    const scope = new RequestScope(context, { stallTimeoutMs: config.stallTimeoutMs, log });
    await handler({
      context,
      files,
      config,
      path: parseRequestPath(target.path),
      query: target.query,
      scope,
      beginTransfer: async (direction) => {
        const client = clientOf(context.req.socket.remoteAddress);
        const slot = await slots.acquire({ client, direction }, scope.signal);
        scope.defer(() => slot.release());
        return slot;
      },
      runScan: (scan) => scans(scan),
      countBytes: (direction, count) => bytes.add(count, { direction }),
    });
  };
}

function isRead({ method }: Context): boolean {
  return method === "GET" || method === "HEAD";
}

/** Answers with status 405. No error code has this status, because only HTTP has methods. */
function refuseMethod(context: Context): void {
  context.set("Allow", METHODS);
  if (context.method === "OPTIONS") {
    context.status = 204;
    return;
  }
  const message = `Cannot ${context.method} ${context.path}: expected one of ${METHODS}`;
  answerError(context, new AshlarError("UNSUPPORTED", message), 405);
}

function countRequests(metrics: Metrics, log: Log): Middleware {
  const requests: Counter = metrics.counter("ashlar_gateway_requests_total", "Answered requests", [
    "method",
    "status",
  ]);
  return async (context, next) => {
    const { method, path, res } = context;
    res.once("close", () => {
      requests.add(1, { method, status: String(res.statusCode) });
      log.debug("Request", { method, path, status: res.statusCode, whole: res.writableFinished });
    });
    await next();
  };
}
