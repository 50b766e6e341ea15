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

/**
 * The body of a request, whole: for small ones.
 *
 * @throws {AshlarError} TOO_LARGE as soon as it is known to exceed `bytesMax`.
 */
export async function readBody(context: Context, bytesMax: number): Promise<Uint8Array> {
  if ((context.request.length ?? 0) > bytesMax) throw bodyTooLarge(bytesMax);
  const parts: Buffer[] = [];
  let lengthBytes = 0;
  // Destroying the request would close the connection before the refusal is written to it.
  const source: AsyncIterable<Buffer> = context.req.iterator({ destroyOnReturn: false });
  for await (const part of source) {
    lengthBytes += part.length;
    if (lengthBytes > bytesMax) throw bodyTooLarge(bytesMax);
    parts.push(part);
  }
  return new Uint8Array(Buffer.concat(parts));
}

function bodyTooLarge(bytesMax: number): AshlarError {
  return new AshlarError(
    "TOO_LARGE",
    `Cannot take the request: its body exceeds ${bytesMax} bytes`,
  );
}
