import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { describe, it } from "node:test";
import type { Middleware } from "koa";
import { Deferred } from "../../../shared/flow/deferred.ts";
import { type HttpServer, startHttpServer } from "../../../shared/platform/http-server.ts";
import { createLogTo } from "../../../shared/platform/pino-log.ts";

const log = createLogTo({ write: () => {} }, { level: "error" });

function start(middleware: Middleware): Promise<HttpServer> {
  return startHttpServer({
    address: "127.0.0.1:0",
    middleware: [middleware],
    log,
    closeGraceMs: 100,
  });
}

/** Opens a connection that sends requests for these paths at once. */
function pipeline({ address }: HttpServer, paths: readonly string[]): Socket {
  const [host, port] = address.split(":");
  const socket = connect(Number(port), host);
  socket.on("error", () => {});
  socket.write(paths.map((path) => `PUT ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`).join(""));
  return socket;
}

describe("pipelined requests (RFC 9112, section 9.3.2)", () => {
  it("run one after the other, in their order", async () => {
    const events: string[] = [];
    const first = new Deferred<void>();
    await using server = await start(async (context) => {
      events.push(`begin ${context.path}`);
      if (context.path === "/1") await first.promise;
      events.push(`end ${context.path}`);
      context.body = context.path;
    });
    const socket = pipeline(server, ["/1", "/2", "/3"]);
    while (events.length < 1) await new Promise(setImmediate);
    await fetch(`http://${server.address}/other`);
    first.resolve();
    let received = "";
    for await (const part of socket) {
      received += part;
      if (received.endsWith("/3")) break;
    }
    const own = events.filter((event) => !event.endsWith("/other"));
    assert.deepEqual(own, ["begin /1", "end /1", "begin /2", "end /2", "begin /3", "end /3"]);
  });

  it("do not run after their connection was closed", async () => {
    const paths: string[] = [];
    const closed = new Deferred<void>();
    await using server = await start(async ({ path, res }) => {
      paths.push(path);
      if (path !== "/1") return;
      res.once("close", () => closed.resolve());
      await closed.promise;
    });
    const socket = pipeline(server, ["/1", "/2", "/3"]);
    while (paths.length < 1) await new Promise(setImmediate);
    socket.destroy();
    await closed.promise;
    await fetch(`http://${server.address}/other`);
    assert.deepEqual(paths, ["/1", "/other"]);
  });

  it("do not run after a response that closes the connection", async () => {
    const paths: string[] = [];
    await using server = await start((context) => {
      paths.push(context.path);
      context.set("Connection", "close");
      context.body = "closing";
    });
    await once(pipeline(server, ["/1", "/2"]).resume(), "close");
    assert.deepEqual(paths, ["/1"]);
  });

  it("close the connection when too many of them wait", async () => {
    await using server = await start(async ({ res }) => {
      await once(res, "close");
    });
    const paths = Array.from({ length: 100 }, (_, index) => `/${index}`);
    await once(pipeline(server, paths).resume(), "close");
  });
});
