import { AshlarError } from "../../shared/base/errors.ts";
import { untilAborted } from "../deadline.ts";
import type { GatewayRequest } from "./gateway-request.ts";

/**
 * The body of a request, once, as it comes.
 *
 * It fails at its end if it is not as long as the request said, and on a connection that was lost:
 * a put that reads it then publishes nothing.
 *
 * @throws {AshlarError} TOO_LARGE as soon as it is known; CANCELLED; INVALID_ARGUMENT
 */
export async function* requestBody(request: GatewayRequest): AsyncGenerator<Buffer> {
  const { context, config } = request;
  const announcedBytes = context.request.length;
  if ((announcedBytes ?? 0) > config.fileBytesMax) throw fileTooLarge(request);
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
    `Cannot take the body: expected ${announcedBytes ?? "more"} bytes: it has ${lengthBytes}`,
  );
}

/**
 * What comes of the body, until its end, whether that is where it should be or not.
 *
 * @throws {AshlarError} CANCELLED if the connection is lost; what the scope's signal aborts with
 */
export async function* bodyParts({ context, scope }: GatewayRequest): AsyncGenerator<Buffer> {
  // Destroying the request would close the connection before a refusal is written to it.
  const options = { destroyOnReturn: false };
  const parts: AsyncIterator<Buffer> = context.req.iterator(options)[Symbol.asyncIterator]();
  for (;;) {
    // A client that sends nothing more must not hold up the abort.
    const next = await untilAborted(parts.next(), scope.signal).catch((cause: unknown) => {
      if (cause instanceof AshlarError) throw cause;
      throw new AshlarError("CANCELLED", "Cannot go on: the request's body was cut", { cause });
    });
    if (next.done === true) return;
    yield next.value;
  }
}

export function fileTooLarge({ config }: GatewayRequest): AshlarError {
  return new AshlarError(
    "TOO_LARGE",
    `Cannot take a file of more than ${config.fileBytesMax} bytes here`,
    { hint: "fileBytesMax of the gateway bounds uploads; `ashlar put` has no such bound" },
  );
}
