import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { Agent, request, type Server } from "node:http";
import { describe, it } from "node:test";
import type { Context, Middleware } from "koa";
import { AshlarError, isAshlarError } from "../../../shared/base/errors.ts";
import { Deferred } from "../../../shared/flow/deferred.ts";
import { healthRoutes } from "../../../shared/platform/http-health.ts";
import { type HttpServer, startHttpServer } from "../../../shared/platform/http-server.ts";
import { createLogTo } from "../../../shared/platform/pino-log.ts";
import { PrometheusMetrics } from "../../../shared/platform/prometheus-metrics.ts";
import { SystemClock } from "../../../shared/platform/system-clock.ts";

const lines: string[] = [];
const log = createLogTo({ write: (line) => lines.push(line) }, { level: "error" });

function start(...middleware: readonly Middleware[]): Promise<HttpServer> {
  return startHttpServer({ address: "127.0.0.1:0", middleware, log, closeGraceMs: 200 });
}

const throwing =
  (error: unknown): Middleware =>
  () => {
    throw error;
  };

/** Reads a request body. It throws TOO_LARGE above `bytesMax` and leaves the rest unread. */
async function readBody(context: Context, bytesMax: number): Promise<Buffer> {
  const tooLarge = new AshlarError("TOO_LARGE", `Cannot read more than ${bytesMax} bytes`);
  if ((context.request.length ?? 0) > bytesMax) throw tooLarge;
  const parts: Buffer[] = [];
  let lengthBytes = 0;
  // Destroying the request would close the connection before the refusal is written to it.
  const source: AsyncIterable<Buffer> = context.req.iterator({ destroyOnReturn: false });
  for await (const part of source) {
    lengthBytes += part.length;
    if (lengthBytes > bytesMax) throw tooLarge;
    parts.push(part);
  }
  return Buffer.concat(parts);
}

describe("http server", () => {
  it("responds at the address that it reports", async () => {
    await using server = await start((context) => {
      context.body = "hello";
    });
    assert.match(server.address, /^127\.0\.0\.1:[1-9]\d*$/);
    assert.equal(await (await fetch(`http://${server.address}/`)).text(), "hello");
  });

  it("continues after a connection that it cannot accept", async () => {
    await using server = await start((context) => {
      context.body = "hello";
    });
    let inner: Server | null = null;
    const onRequest = (message: unknown): void => {
      inner = (message as { server: Server }).server;
    };
    subscribe("http.server.request.start", onRequest);
    await (await fetch(`http://${server.address}/`)).text();
    unsubscribe("http.server.request.start", onRequest);
    for (let count = 0; count < 3; count += 1) {
      (inner as Server | null)?.emit("error", new Error("accept EMFILE"));
    }
    assert.ok(inner !== null);
    assert.equal(await (await fetch(`http://${server.address}/`)).text(), "hello");
  });

  it("fails with ADDRESS_IN_USE and the address if another server listens there", async () => {
    await using server = await start();
    const second = startHttpServer({ address: server.address, middleware: [], log });
    await assert.rejects(
      second,
      (error) => isAshlarError(error, "ADDRESS_IN_USE") && error.message.includes(server.address),
    );
  });

  it("responds to an AshlarError with its status and its data", async () => {
    const error = new AshlarError("NO_SPACE", "Cannot write: full", { hint: "Add a disk" });
    await using server = await start(throwing(error));
    const response = await fetch(`http://${server.address}/`);
    assert.equal(response.status, 507);
    assert.deepEqual(await response.json(), {
      error: {
        code: "NO_SPACE",
        message: "Cannot write: full",
        hint: "Add a disk",
        retry: "never",
      },
    });
  });

  it("responds to a bug with INTERNAL, and logs its stack", async () => {
    await using server = await start(throwing(new TypeError("x is not a function")));
    lines.length = 0;
    const response = await fetch(`http://${server.address}/path`);
    assert.equal(response.status, 500);
    assert.match(await response.text(), /INTERNAL/);
    assert.match(lines.join(), /http-server\.test/);
  });

  it("responds with NOT_FOUND in the same form to a path without a route", async () => {
    await using server = await start();
    const response = await fetch(`http://${server.address}/nothing`);
    assert.equal(response.status, 404);
    assert.match(await response.text(), /"code":"NOT_FOUND"/);
  });

  it("refuses a body over the limit, announced or not, with a complete response", async () => {
    await using server = await start(async (context) => {
      context.body = { lengthBytes: (await readBody(context, 1000)).length };
    });
    const url = `http://${server.address}/`;
    const post = (body: RequestInit["body"]): Promise<Response> =>
      fetch(url, { method: "POST", body, duplex: "half" } as RequestInit);
    assert.deepEqual(await (await post("x".repeat(1000))).json(), { lengthBytes: 1000 });
    assert.equal((await post("x".repeat(1001))).status, 413);
    const chunked = new ReadableStream({
      pull: (controller) => controller.enqueue(new Uint8Array(600)),
    });
    assert.equal((await post(chunked)).status, 413);
  });

  it("refuses headers over 16 KiB", async () => {
    await using server = await start();
    const response = await fetch(`http://${server.address}/`, {
      headers: { "x-long": "x".repeat(20_000) },
    });
    assert.equal(response.status, 431);
  });

  it("closes despite idle connections of a client, and completes a pending response", async () => {
    let release = (): void => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let arrived = (): void => {};
    const arrival = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    const server = await start(async (context) => {
      if (context.path === "/slow") {
        arrived();
        await held;
      }
      context.body = "whole";
    });
    const agent = new Agent({ keepAlive: true });
    const get = (path: string): Promise<string> =>
      new Promise((resolve, reject) => {
        request(`http://${server.address}${path}`, { agent }, (response) => {
          response.setEncoding("utf8");
          let text = "";
          response.on("data", (part) => {
            text += part;
          });
          response.on("end", () => resolve(text));
        })
          .on("error", reject)
          .end();
      });
    await get("/idle");
    const slow = get("/slow");
    await arrival;
    const closed = server.close();
    release();
    assert.equal(await slow, "whole");
    await closed;
    await server.close();
    agent.destroy();
  });

  it("aborts a response that takes longer than the grace period", async () => {
    const server = await start(() => new Promise(() => {}));
    const pending = fetch(`http://${server.address}/`);
    pending.catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 50));
    await server.close();
    await assert.rejects(pending);
  });

  it("waits for a pending response also if the grace period is longer than 2^31 ms", async () => {
    const arrived = new Deferred<void>();
    const held = new Deferred<void>();
    const server = await startHttpServer({
      address: "127.0.0.1:0",
      middleware: [
        async (context) => {
          arrived.resolve();
          await held.promise;
          context.body = "whole";
        },
      ],
      log,
      closeGraceMs: 2 ** 31,
    });
    const pending = fetch(`http://${server.address}/`).then((response) => response.text());
    await arrived.promise;
    const closed = server.close();
    await new SystemClock().sleep(20); // A delay of setTimeout above 2^31 - 1 ms ends after 1 ms.
    held.resolve();
    assert.equal(await pending, "whole");
    await closed;
  });
});

describe("health routes", () => {
  it("serve /healthz, /readyz with its reason, and /metrics", async () => {
    let state: { ready: boolean; reason?: string } = { ready: false, reason: "no leader" };
    const metrics = new PrometheusMetrics();
    metrics.counter("ashlar_seals_total", "Chunks sealed").add(2);
    await using server = await start(
      healthRoutes({ ready: () => state, scrape: () => metrics.scrape() }),
    );
    const get = (path: string): Promise<Response> => fetch(`http://${server.address}${path}`);
    assert.equal((await get("/healthz")).status, 200);
    const notReady = await get("/readyz");
    assert.equal(notReady.status, 503);
    assert.deepEqual(await notReady.json(), { ready: false, reason: "no leader" });
    state = { ready: true };
    assert.equal((await get("/readyz")).status, 200);
    const scraped = await get("/metrics");
    assert.match(scraped.headers.get("content-type") ?? "", /^text\/plain; version=0\.0\.4/);
    assert.match(await scraped.text(), /^ashlar_seals_total 2$/m);
    assert.equal((await get("/other")).status, 404);
  });
});
