import type { Context, Middleware } from "koa";
import { AshlarError, ERROR_CODES, toErrorData } from "../base/errors.ts";
import type { Log } from "../ports/log.ts";

/**
 * Returns middleware that turns an error of a handler into a response: the HTTP status of its code
 * and the body `{"error": {"code", "message", "hint", "details", "retry"}}`, or the response of `answerError`. A path without a route
 * is NOT_FOUND.
 */
export function errorResponse(log: Log, answerError: AnswerError = answerJson): Middleware {
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
      answerError(context, error);
      if (!(error instanceof AshlarError)) {
        const { method, path } = context;
        log.error("An HTTP request failed with an unexpected error", { method, path, error });
      }
    }
  };
}

/** Writes the response to a request that failed. */
export type AnswerError = (context: Context, error: unknown) => void;

function answerJson(context: Context, error: unknown): void {
  const data = toErrorData(error);
  const { httpStatus, retry } = ERROR_CODES[data.code];
  context.status = httpStatus;
  context.body = { error: { ...data, retry } };
  closeAfterUnreadBody(context);
}

/**
 * Closes the connection after a response to a request whose body was not read. No request can follow
 * on this connection.
 */
export function closeAfterUnreadBody(context: Context): void {
  if (!context.req.complete) context.set("Connection", "close");
}
