import type { IncomingMessage } from "node:http";
import type { Middleware } from "koa";
import { isAshlarError } from "../../shared/base/errors.ts";
import { awaitsContinue } from "./request-body.ts";

const DRAIN_BYTES_MAX = 16 * 1024 * 1024;
const DRAIN_MS_MAX = 2_000;

/**
 * Returns a middleware that reads a part of the remaining body of a refused request. Without it, a
 * client that is still sending when the connection closes sees a reset instead of the refusal
 * (RFC 9112, section 9.6).
 */
export function drainRefused(): Middleware {
  return async (context, next) => {
    try {
      await next();
    } catch (error) {
      const { complete, destroyed } = context.req;
      // No data arrives from a client that stalled, closed its connection, or waits for status 100.
      const isStopped =
        isAshlarError(error, "DEADLINE_EXCEEDED") || isAshlarError(error, "CANCELLED");
      const isWaiting = awaitsContinue(context);
      if (!complete && !destroyed && !isStopped && !isWaiting) await drain(context.req);
      throw error;
    }
  };
}

function drain(request: IncomingMessage): Promise<void> {
  return new Promise((resolve) => {
    let drainedBytes = 0;
    const done = (): void => {
      clearTimeout(timer);
      request.off("data", onData).off("end", done).off("close", done);
      request.pause();
      resolve();
    };
    const onData = (part: Buffer): void => {
      drainedBytes += part.length;
      if (drainedBytes > DRAIN_BYTES_MAX) done();
    };
    const timer = setTimeout(done, DRAIN_MS_MAX);
    request.on("data", onData).once("end", done).once("close", done);
  });
}
