import type { RequestListener } from "node:http";
import Koa, { type Middleware } from "koa";
import type { Log } from "../ports/log.ts";
import { type AnswerError, errorResponse } from "./http-errors.ts";
import { oneAtATime } from "./http-pipelining.ts";

/** Options of `createListener`. The first three are those of `startHttpServer`. */
export interface ListenerOptions {
  readonly middleware: readonly Middleware[];
  readonly log: Log;
  readonly answerError?: AnswerError;
  /** Aborts when the server closes: from then on, each response closes its connection. */
  readonly closing: AbortSignal;
}

/** Returns the handler of the requests of an HTTP server. */
export function createListener(options: ListenerOptions): RequestListener {
  const app = new Koa();
  app.on("error", (error: Error) => options.log.debug("An HTTP response was aborted", { error }));
  app.use(oneAtATime());
  app.use(errorResponse(options.log, options.answerError));
  app.use(async (context, next) => {
    await next();
    // A connection that stays open would delay `close`.
    if (options.closing.aborted) context.set("Connection", "close");
  });
  for (const middleware of options.middleware) app.use(middleware);
  return app.callback();
}
