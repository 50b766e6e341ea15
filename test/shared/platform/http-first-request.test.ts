import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Middleware } from "koa";
import { Deferred } from "../../../shared/flow/deferred.ts";
import { startHttpServer } from "../../../shared/platform/http-server.ts";
import { createLogTo } from "../../../shared/platform/pino-log.ts";

describe("an HTTP server whose middleware is a function", () => {
  const lines: string[] = [];
  const log = createLogTo({ write: (line) => lines.push(line) }, { level: "error" });
  const start = (middleware: () => Promise<readonly Middleware[]>) =>
    startHttpServer({ address: "127.0.0.1:0", middleware, log, closeGraceMs: 200 });

  it("calls it once, at the first request, and answers all requests in their order", async () => {
    let calls = 0;
    const loaded = new Deferred<void>();
    const paths: string[] = [];
    await using server = await start(async () => {
      calls += 1;
      await loaded.promise;
      return [
        (context) => {
          paths.push(context.path);
          context.body = context.path;
        },
      ];
    });
    assert.equal(calls, 0);
    const texts = ["/a", "/b", "/c"].map(async (path) => {
      const response = await fetch(`http://${server.address}${path}`);
      return response.text();
    });
    loaded.resolve();
    assert.deepEqual(await Promise.all(texts), ["/a", "/b", "/c"]);
    assert.equal(await (await fetch(`http://${server.address}/d`)).text(), "/d");
    assert.deepEqual([calls, [...paths].sort()], [1, ["/a", "/b", "/c", "/d"]]);
  });

  it("reads the body of a request that arrived before the handlers were loaded", async () => {
    const loading = new Deferred<void>();
    const loaded = new Deferred<void>();
    await using server = await start(async () => {
      loading.resolve();
      await loaded.promise;
      return [
        async (context) => {
          const parts: Buffer[] = [];
          for await (const part of context.req) parts.push(part as Buffer);
          context.body = Buffer.concat(parts).toString();
        },
      ];
    });
    const body = "x".repeat(100_000);
    const response = fetch(`http://${server.address}/`, { method: "PUT", body });
    await loading.promise;
    loaded.resolve();
    assert.equal(await (await response).text(), body);
  });

  it("answers with status 503 while the handlers cannot be loaded, and tries again", async () => {
    let isBroken = true;
    await using server = await start(async () => {
      if (isBroken) throw new Error("no such module");
      return [
        (context) => {
          context.body = "served";
        },
      ];
    });
    assert.equal((await fetch(`http://${server.address}/`)).status, 503);
    assert.match(lines.join(""), /no such module.*Cannot load the handlers of HTTP requests/);
    isBroken = false;
    assert.equal(await (await fetch(`http://${server.address}/`)).text(), "served");
  });
});
