import Router from "@koa/router";
import type { Middleware } from "koa";
import type { ErrorCode } from "../base/errors.ts";

/** Answer of `GET /readyz`. */
interface Readiness {
  readonly ready: boolean;
  /** Present if the process is not ready. */
  readonly reason?: string;
  /** Present if it cannot become ready: waiting does not help. */
  readonly code?: ErrorCode;
}

/** Options of `healthRoutes`. */
export interface HealthOptions {
  /** Returns whether the process can do its work now. Sent as JSON by `GET /readyz`. */
  readonly ready: () => Readiness;
  readonly scrape: () => Promise<{ readonly contentType: string; readonly text: string }>;
}

/**
 * Returns the routes for monitoring. `GET /healthz`: 200 while the event loop runs. `GET /readyz`:
 * 200, or 503 with the reason. `GET /metrics`: Prometheus text.
 */
export function healthRoutes({ ready, scrape }: HealthOptions): Middleware {
  const router = new Router();
  router.get("/healthz", (context) => {
    context.body = { ok: true };
  });
  router.get("/readyz", (context) => {
    const state = ready();
    context.status = state.ready ? 200 : 503;
    context.body = state;
  });
  router.get("/metrics", async (context) => {
    const { contentType, text } = await scrape();
    context.type = contentType;
    context.body = text;
  });
  return router.routes() as Middleware;
}
