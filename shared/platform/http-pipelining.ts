import type { Socket } from "node:net";
import type { Middleware } from "koa";
import { Deferred } from "../flow/deferred.ts";

/** Most requests of one connection that wait. With one more the connection is closed. */
const WAITING_MAX = 64;

/** The requests of a connection that have not ended. */
interface Pipeline {
  count: number;
  /** Resolves when the last of them has ended. */
  lastEnded: Promise<void>;
}

/**
 * Returns middleware that handles the requests of a connection one after the other. Node begins all
 * requests of a pipeline at once: a request that changes something would then overtake another one
 * (RFC 9112, section 9.3.2). Node also reports the end of a connection only to the first response,
 * so the others would hold what they have acquired.
 */
export function oneAtATime(): Middleware {
  const pipelines = new WeakMap<Socket, Pipeline>();
  return async (context, next) => {
    const { socket } = context.req;
    const pipeline = pipelines.get(socket) ?? { count: 0, lastEnded: Promise.resolve() };
    pipelines.set(socket, pipeline);
    if (pipeline.count > WAITING_MAX) socket.destroy();
    const previousEnded = pipeline.lastEnded;
    const ended = new Deferred<void>();
    pipeline.count += 1;
    pipeline.lastEnded = ended.promise;
    const end = (): void => {
      pipeline.count -= 1;
      ended.resolve();
    };
    await previousEnded;
    // After a response that closes the connection, no request is handled (RFC 9112, section 9.6).
    if (!socket.writable) {
      context.respond = false;
      end();
      return;
    }
    context.res.once("close", end);
    await next();
  };
}
