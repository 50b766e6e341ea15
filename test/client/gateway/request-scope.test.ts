import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { it } from "node:test";
import { RequestScope } from "../../../client/gateway/request-scope.ts";
import { Deferred } from "../../../shared/flow/deferred.ts";
import { startHttpServer } from "../../../shared/platform/http-server.ts";
import { quietLog } from "../../../shared/platform/quiet.ts";

it("a request closes what it acquires after its connection was lost", async () => {
  const begun = new Deferred<void>();
  const closedCount = new Deferred<number>();
  await using server = await startHttpServer({
    address: "127.0.0.1:0",
    log: quietLog,
    middleware: [
      async (context) => {
        const scope = new RequestScope(context, { stallTimeoutMs: 60_000, log: quietLog });
        let count = 0;
        const close = (): void => {
          count += 1;
        };
        scope.defer(close);
        begun.resolve();
        await once(context.res, "close");
        await new Promise(setImmediate);
        assert.equal(scope.signal.aborted, true);
        scope.defer(close);
        await new Promise(setImmediate);
        closedCount.resolve(count);
      },
    ],
  });
  const [host, port] = server.address.split(":");
  const socket = connect(Number(port), host);
  socket.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  await begun.promise;
  socket.destroy();
  assert.equal(await closedCount.promise, 2);
});
