import type { Context } from "koa";
import { AshlarError, ERROR_CODES, toErrorData } from "../../shared/base/errors.ts";
import { closeAfterUnreadBody } from "../../shared/platform/http-errors.ts";

/** Seconds after which a client may repeat a request that was refused for the load. */
const RETRY_AFTER_SECONDS = 1;

/**
 * Writes the response to a request that failed: the status of the error code, the error as JSON, and
 * Retry-After if a repetition can succeed. A request beyond the limit of its client has status 429.
 *
 * @param status replaces the status of the error code
 */
export function answerError(context: Context, error: unknown, status?: number): void {
  const data = toErrorData(error);
  const { httpStatus, retry } = ERROR_CODES[data.code];
  const isOwnLimit = error instanceof AshlarError && error.details["limit"] === "client";
  context.status = status ?? (isOwnLimit ? 429 : httpStatus);
  if (context.status === 429 || context.status === 503) {
    context.set("Retry-After", String(RETRY_AFTER_SECONDS));
  }
  context.type = "json";
  context.body = { error: { ...data, retry } };
  closeAfterUnreadBody(context);
}
