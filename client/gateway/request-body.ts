import type { Context } from "koa";
import { AshlarError } from "../../shared/base/errors.ts";
import { untilAborted } from "../deadline.ts";
import type { GatewayRequest } from "./gateway-request.ts";

/**
 * Yields the body of a request once, as it arrives.
 *
 * It throws at the end if the length differs from Content-Length, and if the connection is lost. A
 * put from this body then publishes nothing.
 *
 * @throws {AshlarError} TOO_LARGE, CANCELLED, INVALID_ARGUMENT
 */
export async function* requestBody(request: GatewayRequest): AsyncGenerator<Buffer> {
  const { context, config } = request;
  const announcedBytes = context.request.length;
  let lengthBytes = 0;
  for await (const part of bodyParts(request)) {
    lengthBytes += part.length;
    if (lengthBytes > config.fileBytesMax) throw fileTooLarge(request);
    request.countBytes("in", part.length);
    yield part;
  }
  if (context.req.complete && (announcedBytes ?? lengthBytes) === lengthBytes) return;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot read the body: expected ${announcedBytes ?? "more"} bytes: current length is ${lengthBytes}`,
  );
}

/**
 * Yields the parts of the body until its end, without a check of its length. Only here the client
 * receives status 100, so a request that is refused before has not sent its body.
 *
 * @throws {AshlarError} CANCELLED if the connection is lost; the reason of the scope's signal
 */
export async function* bodyParts(request: GatewayRequest): AsyncGenerator<Buffer> {
  const { context, scope } = request;
  if (awaitsContinue(context)) {
    context.state["hasContinued"] = true;
    context.res.writeContinue();
  }
  // Destroying the request would close the connection before a refusal is written.
  const options = { destroyOnReturn: false };
  const parts: AsyncIterator<Buffer> = context.req.iterator(options)[Symbol.asyncIterator]();
  try {
    for (;;) {
      // A client that stopped sending must not delay the abort.
      const next = await untilAborted(parts.next(), scope.signal).catch((cause: unknown) => {
        if (cause instanceof AshlarError) throw cause;
        throw new AshlarError("CANCELLED", "Cannot read the body: the connection was lost", {
          cause,
        });
      });
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    // The rest of the body can then be read by another reader. A pending read is not awaited.
    parts.return?.().catch(() => {});
  }
}

/** Refuses a body whose announced length is above `fileBytesMax`. @throws {AshlarError} TOO_LARGE */
export function checkAnnouncedLength(request: GatewayRequest): void {
  const announcedBytes = request.context.request.length ?? 0;
  if (announcedBytes > request.config.fileBytesMax) throw fileTooLarge(request);
}

/** Returns whether the client waits with its body for status 100 (RFC 9110, section 10.1.1). */
export function awaitsContinue(context: Context): boolean {
  return context.state["hasContinued"] !== true && /^100-continue$/i.test(context.get("Expect"));
}

/** Returns the TOO_LARGE error of a file above `fileBytesMax`. */
export function fileTooLarge({ config }: GatewayRequest): AshlarError {
  return new AshlarError(
    "TOO_LARGE",
    `Cannot store the file: expected at most ${config.fileBytesMax} bytes`,
    { hint: "fileBytesMax of the gateway limits uploads; `ashlar put` has no such limit" },
  );
}
