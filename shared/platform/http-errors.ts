import type { Context, Middleware } from "koa";
import { AshlarError, ERROR_CODES, toErrorData } from "../base/errors.ts";
import type { Log } from "../ports/log.ts";

/**
 * Turns what a handler throws into a response: the status of the error's row and the body
 * `{"error": {"code", "message", "hint", "details", "retry"}}`. No route is NOT_FOUND, too.
 */
export function errorResponse(log: Log): Middleware {
  return async (context, next) => {
    try {
      await next();
      if (context.status === 404 && context.body === undefined) {
        throw new AshlarError(
          "NOT_FOUND",
          `Cannot ${context.method} ${context.path}: no such page`,
        );
      }
    } catch (error) {
      answer(context, error);
      if (!(error instanceof AshlarError)) {
        const { method, path } = context;
        log.error("An HTTP request failed on a bug", { method, path, error });
      }
    }
  };
}

function answer(context: Context, error: unknown): void {
  const data = toErrorData(error);
  const { httpStatus, retry } = ERROR_CODES[data.code];
  context.status = httpStatus;
  context.body = { error: { ...data, retry } };
  // What is left of a refused request's body is not read: the next request cannot follow it.
  if (!context.req.complete) context.set("Connection", "close");
}
