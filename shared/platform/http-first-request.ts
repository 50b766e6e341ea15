import type { RequestListener } from "node:http";
import type { Log } from "../ports/log.ts";

/**
 * Returns a handler that calls `load` at the first request, and passes all requests, in their order,
 * to the result. If `load` fails, the requests are answered with status 503 and the next one tries
 * again.
 */
export function onFirstRequest(load: () => Promise<RequestListener>, log: Log): RequestListener {
  let loading: Promise<RequestListener> | null = null;
  return (request, response) => {
    loading ??= load();
    loading.then(
      (listener) => listener(request, response),
      (error: unknown) => {
        loading = null;
        log.error("Cannot load the handlers of HTTP requests", { error });
        response.writeHead(503, { Connection: "close" }).end();
      },
    );
  };
}
