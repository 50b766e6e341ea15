import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as v from "valibot";
import { AshlarError, isAshlarError } from "../../../shared/base/errors.ts";
import { defineCall } from "../../../shared/protocol/method.ts";
import { ANY_ROLE } from "../../../shared/protocol/roles.ts";
import type { WireLimits } from "../../../shared/wire/limits.ts";
import { withBody } from "../../../shared/wire/reply.ts";
import type { CallHandler } from "../../../shared/wire/rpc.ts";
import type { RpcServer } from "../../../shared/wire/rpc-server.ts";
import {
  echo,
  hasCode,
  memoryFixture,
  type Pair,
  tcpFixture,
  until,
  type WireFixture,
  withPair,
} from "../../support/wire-fixture.ts";

type EchoHandler = CallHandler<{ text: string }, { text: string; bodyBytes: number }>;

/** Handler that returns the text and the body of the request. */
const answerEcho: EchoHandler = async (request) => {
  const reply = { text: request.head.text, bodyBytes: request.body.length };
  return withBody(reply, request.body, () => request.release());
};

/** Runs `test` with a server whose handler of `echo` is `handler`. */
function withEcho(
  fixture: WireFixture,
  handler: EchoHandler,
  limits: Partial<WireLimits>,
  test: (pair: Pair) => Promise<void>,
): Promise<void> {
  return withPair(fixture, { register: (server) => server.onCall(echo, handler), limits }, test);
}

for (const makeFixture of [tcpFixture, memoryFixture]) {
  describe(`calls over ${makeFixture().title}`, () => {
    it("return the response of the handler", async () => {
      const fixture = makeFixture();
      await withEcho(fixture, answerEcho, {}, async ({ connection }) => {
        const call = connection.call(echo, { text: "hello" }, { timeoutMs: 1000 });
        const response = await fixture.settle(call);
        assert.deepEqual(response.head, { text: "hello", bodyBytes: 0 });
        assert.equal(response.body.length, 0);
        response.release();
      });
    });

    for (const bodyBytes of [1, 4096, 4097, 65_536, 1_000_003, 8 * 1024 * 1024]) {
      it(`transfer a body of ${bodyBytes} bytes unchanged in both directions`, async () => {
        const fixture = makeFixture();
        await withEcho(fixture, answerEcho, {}, async ({ connection }) => {
          const body = Uint8Array.from(
            { length: bodyBytes },
            (_, index) => index * 31 + (index >> 8),
          );
          const options = { timeoutMs: 10_000, body };
          const response = await fixture.settle(connection.call(echo, { text: "" }, options));
          assert.equal(response.head.bodyBytes, bodyBytes);
          assert.ok(Buffer.from(response.body).equals(body));
          response.release();
        });
      });
    }

    it("transfer a head that is larger than one read", async () => {
      const fixture = makeFixture();
      await withEcho(fixture, answerEcho, {}, async ({ connection }) => {
        const text = "äx".repeat(150_000);
        const response = await fixture.settle(connection.call(echo, { text }, { timeoutMs: 5000 }));
        assert.equal(response.head.text, text);
        response.release();
      });
    });

    it("run concurrently, and each returns its own response", async () => {
      const fixture = makeFixture();
      await withEcho(fixture, answerEcho, {}, async ({ connection }) => {
        const calls = Array.from({ length: 3000 }, (_, index) => {
          const body = new Uint8Array(index % 7 === 0 ? 5000 + index : index % 50).fill(index);
          return connection.call(echo, { text: `${index}` }, { timeoutMs: 10_000, body });
        });
        const responses = await fixture.settle(Promise.all(calls));
        for (const [index, response] of responses.entries()) {
          assert.equal(response.head.text, `${index}`);
          assert.ok(response.body.every((byte) => byte === (index & 255)));
          response.release();
        }
      });
    });

    it("fail with the handler's error: its code, message, hint and details", async () => {
      const fixture = makeFixture();
      const refuse: EchoHandler = async (request) => {
        request.release();
        throw new AshlarError("NOT_LEADER", "Ask another", {
          hint: "Look there",
          details: { leaderAddress: "b:1" },
        });
      };
      await withEcho(fixture, refuse, {}, async ({ connection }) => {
        const call = connection.call(echo, { text: "" }, { timeoutMs: 1000 });
        await assert.rejects(fixture.settle(call), (error) => {
          assert.ok(isAshlarError(error, "NOT_LEADER"));
          assert.equal(error.message, "Ask another");
          assert.equal(error.hint, "Look there");
          assert.deepEqual(error.details, { leaderAddress: "b:1" });
          return true;
        });
      });
    });

    it("encode an error once if it is sent again", async () => {
      const fixture = makeFixture();
      let encodedCount = 0;
      const refusal = new AshlarError("NOT_LEADER", "");
      Object.defineProperty(refusal, "message", {
        get: () => {
          encodedCount += 1;
          return "Ask another";
        },
      });
      const refuse: EchoHandler = async (request) => {
        request.release();
        throw refusal;
      };
      await withEcho(fixture, refuse, {}, async ({ connection }) => {
        const calls = Array.from({ length: 100 }, () =>
          connection.call(echo, { text: "" }, { timeoutMs: 1000 }),
        );
        const results = await fixture.settle(Promise.allSettled(calls));
        for (const result of results) {
          assert.ok(result.status === "rejected" && hasCode("NOT_LEADER")(result.reason));
        }
        assert.equal(encodedCount, 1);
      });
    });

    it("fail with INTERNAL for any other error, whose stack is only in the server's log", async () => {
      const fixture = makeFixture();
      const breakDown: EchoHandler = async (request) => {
        request.release();
        throw new TypeError("x is not a function");
      };
      await withEcho(fixture, breakDown, {}, async ({ connection }) => {
        const call = connection.call(echo, { text: "" }, { timeoutMs: 1000 });
        await assert.rejects(fixture.settle(call), hasCode("INTERNAL"));
        const line = fixture.server.log.lines.find(({ level }) => level === "error");
        assert.ok(line?.fields["error"] instanceof TypeError);
      });
    });

    it("fail with DEADLINE_EXCEEDED at the deadline, and abort the handler's signal", async () => {
      const fixture = makeFixture();
      const aborted: unknown[] = [];
      const sleep: EchoHandler = async (request, context) => {
        request.release();
        assert.ok(context.remainingMs() <= 50);
        await new Promise((resolve) => context.signal.addEventListener("abort", resolve));
        aborted.push(context.signal.reason);
        return { text: "too late", bodyBytes: 0 };
      };
      await withEcho(fixture, sleep, {}, async ({ connection }) => {
        const startMs = fixture.client.clock.monotonicMs();
        const call = connection.call(echo, { text: "" }, { timeoutMs: 50 });
        await assert.rejects(fixture.settle(call), hasCode("DEADLINE_EXCEEDED"));
        const tookMs = fixture.client.clock.monotonicMs() - startMs;
        assert.ok(tookMs >= 49 && tookMs < 500, `${tookMs} ms`);
        await until(fixture, () => aborted.length === 1);
        // The connection is still usable.
        const next = connection.call(echo, { text: "" }, { timeoutMs: 20 });
        await assert.rejects(fixture.settle(next), hasCode("DEADLINE_EXCEEDED"));
        await until(fixture, () => aborted.length === 2);
      });
    });

    it("fail with CANCELLED when the caller aborts, and abort the handler's signal", async () => {
      const fixture = makeFixture();
      const reasons: unknown[] = [];
      let hasBegun = false;
      const wait: EchoHandler = async (request, { signal }) => {
        request.release();
        hasBegun = true;
        await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
        reasons.push(signal.reason);
        throw signal.reason;
      };
      await withEcho(fixture, wait, {}, async ({ connection }) => {
        const controller = new AbortController();
        const options = { timeoutMs: 60_000, signal: controller.signal };
        const call = connection.call(echo, { text: "" }, options);
        await until(fixture, () => hasBegun);
        controller.abort();
        await assert.rejects(fixture.settle(call), hasCode("CANCELLED"));
        await until(fixture, () => reasons.length === 1);
        assert.ok(isAshlarError(reasons[0], "CANCELLED"));
        const late = connection.call(echo, { text: "" }, options);
        await assert.rejects(fixture.settle(late), hasCode("CANCELLED"));
      });
    });

    it("fail with UNSUPPORTED for a method without a handler", async () => {
      const fixture = makeFixture();
      const other = defineCall("test.other", ANY_ROLE, v.object({}), v.object({}));
      await withEcho(fixture, answerEcho, {}, async ({ connection }) => {
        const call = connection.call(other, {}, { timeoutMs: 1000, body: new Uint8Array(100_000) });
        await assert.rejects(fixture.settle(call), hasCode("UNSUPPORTED"));
      });
    });

    it("fail with WRONG_ROLE for a caller without the right role, before the request is read", async () => {
      const fixture = makeFixture();
      const callers = ["master", "chunkserver"] as const;
      const register = (server: RpcServer): void =>
        server.onCall({ ...echo, callers }, () => assert.fail("the handler is not called"));
      await withPair(fixture, { register }, async ({ connection }) => {
        const wrong = defineCall(echo.name, ANY_ROLE, v.unknown(), v.object({}));
        for (const request of [{ text: "" }, { text: 1 }]) {
          const call = connection.call(wrong, request, { timeoutMs: 1000 });
          await assert.rejects(fixture.settle(call), hasCode("WRONG_ROLE"));
        }
      });
    });

    it("fail with PROTOCOL_ERROR for an invalid request, and leave the connection open", async () => {
      const fixture = makeFixture();
      const wrong = defineCall(echo.name, ANY_ROLE, v.object({ text: v.number() }), v.object({}));
      await withEcho(fixture, answerEcho, {}, async ({ connection }) => {
        const call = connection.call(wrong, { text: 1 }, { timeoutMs: 1000 });
        await assert.rejects(fixture.settle(call), hasCode("PROTOCOL_ERROR"));
        const next = await fixture.settle(
          connection.call(echo, { text: "a" }, { timeoutMs: 1000 }),
        );
        next.release();
      });
    });

    it("fail with PROTOCOL_ERROR for an invalid response, and release its slab", async () => {
      const fixture = makeFixture();
      const wrong = defineCall(
        echo.name,
        ANY_ROLE,
        v.object({ text: v.string() }),
        v.object({ no: v.string() }),
      );
      await withEcho(fixture, answerEcho, {}, async ({ connection }) => {
        const options = { timeoutMs: 1000, body: new Uint8Array(100_000) };
        const call = connection.call(wrong, { text: "a" }, options);
        await assert.rejects(fixture.settle(call), hasCode("PROTOCOL_ERROR"));
        assert.ok(connection.isOpen);
      });
    });

    it("fail with TOO_LARGE, without a request, above the peer's size limits", async () => {
      const fixture = makeFixture();
      await withEcho(
        fixture,
        answerEcho,
        { bodyBytesMax: 1000, headBytesMax: 1024 },
        async ({ connection }) => {
          const body = new Uint8Array(1001);
          const call = connection.call(echo, { text: "" }, { timeoutMs: 1000, body });
          await assert.rejects(fixture.settle(call), hasCode("TOO_LARGE"));
          const long = connection.call(echo, { text: "x".repeat(1024) }, { timeoutMs: 1000 });
          await assert.rejects(fixture.settle(long), hasCode("TOO_LARGE"));
          const next = await fixture.settle(
            connection.call(echo, { text: "a" }, { timeoutMs: 1000 }),
          );
          next.release();
        },
      );
    });

    it("fail with OVERLOADED above the server's limit of calls in progress", async () => {
      const fixture = makeFixture();
      let go = (): void => {};
      const gate = new Promise<void>((resolve) => {
        go = resolve;
      });
      const wait: EchoHandler = async (request) => {
        request.release();
        await gate;
        return { text: request.head.text, bodyBytes: 0 };
      };
      await withEcho(fixture, wait, { inFlightMax: 10 }, async ({ connection }) => {
        const options = { timeoutMs: 5000 };
        const calls = Array.from({ length: 10 }, () =>
          connection.call(echo, { text: "" }, options),
        );
        const surplus = connection.call(echo, { text: "" }, options);
        await assert.rejects(fixture.settle(surplus), hasCode("OVERLOADED"));
        go();
        for (const response of await fixture.settle(Promise.all(calls))) response.release();
      });
    });

    it("fail with OVERLOADED while the requests in progress take too much memory", async () => {
      const fixture = makeFixture();
      const answers: (() => void)[] = [];
      const wait: EchoHandler = async (request) => {
        request.release();
        await new Promise<void>((resolve) => answers.push(resolve));
        return { text: "", bodyBytes: 0 };
      };
      await withEcho(fixture, wait, { requestMemoryBytesMax: 30_000 }, async ({ connection }) => {
        const call = () => connection.call(echo, { text: "x".repeat(10_000) }, { timeoutMs: 5000 });
        const calls = [call(), call()];
        await assert.rejects(fixture.settle(call()), hasCode("OVERLOADED"));
        for (const answer of answers.splice(0)) answer();
        for (const response of await fixture.settle(Promise.all(calls))) response.release();
        const next = call();
        await until(fixture, () => answers.length === 1);
        answers[0]?.();
        (await fixture.settle(next)).release();
      });
    });
  });
}
