import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as v from "valibot";
import { AshlarError, isAshlarError } from "../../../shared/base/errors.ts";
import { defineCall } from "../../../shared/protocol/method.ts";
import type { WireLimits } from "../../../shared/wire/limits.ts";
import { withBody } from "../../../shared/wire/reply.ts";
import type { CallHandler } from "../../../shared/wire/rpc.ts";
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

/** Answers with the request, and with its body. */
const answerEcho: EchoHandler = async (request) => {
  const reply = { text: request.head.text, bodyBytes: request.body.length };
  return withBody(reply, request.body, () => request.release());
};

/** A pair whose server answers `echo` by `handler`. */
function withEcho(
  stage: WireFixture,
  handler: EchoHandler,
  limits: Partial<WireLimits>,
  test: (pair: Pair) => Promise<void>,
): Promise<void> {
  return withPair(stage, { register: (server) => server.onCall(echo, handler), limits }, test);
}

for (const makeStage of [tcpFixture, memoryFixture]) {
  describe(`calls over ${makeStage().title}`, () => {
    it("bring the response", async () => {
      const stage = makeStage();
      await withEcho(stage, answerEcho, {}, async ({ connection }) => {
        const call = connection.call(echo, { text: "hello" }, { timeoutMs: 1000 });
        const response = await stage.settle(call);
        assert.deepEqual(response.head, { text: "hello", bodyBytes: 0 });
        assert.equal(response.body.length, 0);
        response.release();
      });
    });

    for (const bodyBytes of [1, 4096, 4097, 65_536, 1_000_003, 8 * 1024 * 1024]) {
      it(`carry a body of ${bodyBytes} bytes both ways, unchanged`, async () => {
        const stage = makeStage();
        await withEcho(stage, answerEcho, {}, async ({ connection }) => {
          const body = Uint8Array.from(
            { length: bodyBytes },
            (_, index) => index * 31 + (index >> 8),
          );
          const options = { timeoutMs: 10_000, body };
          const response = await stage.settle(connection.call(echo, { text: "" }, options));
          assert.equal(response.head.bodyBytes, bodyBytes);
          assert.ok(Buffer.from(response.body).equals(body));
          response.release();
        });
      });
    }

    it("carry a head that is larger than one read", async () => {
      const stage = makeStage();
      await withEcho(stage, answerEcho, {}, async ({ connection }) => {
        const text = "äx".repeat(150_000);
        const response = await stage.settle(connection.call(echo, { text }, { timeoutMs: 5000 }));
        assert.equal(response.head.text, text);
        response.release();
      });
    });

    it("run at the same time, and each gets its own response", async () => {
      const stage = makeStage();
      await withEcho(stage, answerEcho, {}, async ({ connection }) => {
        const calls = Array.from({ length: 3000 }, (_, index) => {
          const body = new Uint8Array(index % 7 === 0 ? 5000 + index : index % 50).fill(index);
          return connection.call(echo, { text: `${index}` }, { timeoutMs: 10_000, body });
        });
        const responses = await stage.settle(Promise.all(calls));
        for (const [index, response] of responses.entries()) {
          assert.equal(response.head.text, `${index}`);
          assert.ok(response.body.every((byte) => byte === (index & 255)));
          response.release();
        }
      });
    });

    it("fail with what the handler threw, its code, hint and details", async () => {
      const stage = makeStage();
      const refuse: EchoHandler = async (request) => {
        request.release();
        throw new AshlarError("NOT_LEADER", "Ask another", {
          hint: "Look there",
          details: { leaderAddress: "b:1" },
        });
      };
      await withEcho(stage, refuse, {}, async ({ connection }) => {
        const call = connection.call(echo, { text: "" }, { timeoutMs: 1000 });
        await assert.rejects(stage.settle(call), (error) => {
          assert.ok(isAshlarError(error, "NOT_LEADER"));
          assert.equal(error.message, "Ask another");
          assert.equal(error.hint, "Look there");
          assert.deepEqual(error.details, { leaderAddress: "b:1" });
          return true;
        });
      });
    });

    it("fail with INTERNAL for what is not an AshlarError; the stack stays in the server's log", async () => {
      const stage = makeStage();
      const breakDown: EchoHandler = async (request) => {
        request.release();
        throw new TypeError("x is not a function");
      };
      await withEcho(stage, breakDown, {}, async ({ connection }) => {
        const call = connection.call(echo, { text: "" }, { timeoutMs: 1000 });
        await assert.rejects(stage.settle(call), hasCode("INTERNAL"));
        const line = stage.server.log.lines.find(({ level }) => level === "error");
        assert.ok(line?.fields["error"] instanceof TypeError);
      });
    });

    it("fail with DEADLINE_EXCEEDED in time, and the handler's signal aborts", async () => {
      const stage = makeStage();
      const aborted: unknown[] = [];
      const sleep: EchoHandler = async (request, context) => {
        request.release();
        assert.ok(context.remainingMs() <= 50);
        await new Promise((resolve) => context.signal.addEventListener("abort", resolve));
        aborted.push(context.signal.reason);
        return { text: "too late", bodyBytes: 0 };
      };
      await withEcho(stage, sleep, {}, async ({ connection }) => {
        const startMs = stage.client.clock.monotonicMs();
        const call = connection.call(echo, { text: "" }, { timeoutMs: 50 });
        await assert.rejects(stage.settle(call), hasCode("DEADLINE_EXCEEDED"));
        const tookMs = stage.client.clock.monotonicMs() - startMs;
        assert.ok(tookMs >= 49 && tookMs < 500, `${tookMs} ms`);
        await until(stage, () => aborted.length === 1);
        // The connection is as good as before.
        const next = connection.call(echo, { text: "" }, { timeoutMs: 20 });
        await assert.rejects(stage.settle(next), hasCode("DEADLINE_EXCEEDED"));
        await until(stage, () => aborted.length === 2);
      });
    });

    it("fail with CANCELLED when the caller aborts, and the handler hears of it", async () => {
      const stage = makeStage();
      const reasons: unknown[] = [];
      let hasBegun = false;
      const wait: EchoHandler = async (request, { signal }) => {
        request.release();
        hasBegun = true;
        await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
        reasons.push(signal.reason);
        throw signal.reason;
      };
      await withEcho(stage, wait, {}, async ({ connection }) => {
        const controller = new AbortController();
        const options = { timeoutMs: 60_000, signal: controller.signal };
        const call = connection.call(echo, { text: "" }, options);
        await until(stage, () => hasBegun);
        controller.abort();
        await assert.rejects(stage.settle(call), hasCode("CANCELLED"));
        await until(stage, () => reasons.length === 1);
        assert.ok(isAshlarError(reasons[0], "CANCELLED"));
        const late = connection.call(echo, { text: "" }, options);
        await assert.rejects(stage.settle(late), hasCode("CANCELLED"));
      });
    });

    it("fail with UNSUPPORTED for a method that the server does not have", async () => {
      const stage = makeStage();
      const other = defineCall("test.other", v.object({}), v.object({}));
      await withEcho(stage, answerEcho, {}, async ({ connection }) => {
        const call = connection.call(other, {}, { timeoutMs: 1000, body: new Uint8Array(100_000) });
        await assert.rejects(stage.settle(call), hasCode("UNSUPPORTED"));
      });
    });

    it("fail with PROTOCOL_ERROR for a request that the parser refuses; the connection lives", async () => {
      const stage = makeStage();
      const wrong = defineCall(echo.name, v.object({ text: v.number() }), v.object({}));
      await withEcho(stage, answerEcho, {}, async ({ connection }) => {
        const call = connection.call(wrong, { text: 1 }, { timeoutMs: 1000 });
        await assert.rejects(stage.settle(call), hasCode("PROTOCOL_ERROR"));
        const next = await stage.settle(connection.call(echo, { text: "a" }, { timeoutMs: 1000 }));
        next.release();
      });
    });

    it("fail with PROTOCOL_ERROR for a response that the parser refuses, and give its slab back", async () => {
      const stage = makeStage();
      const wrong = defineCall(
        echo.name,
        v.object({ text: v.string() }),
        v.object({ no: v.string() }),
      );
      await withEcho(stage, answerEcho, {}, async ({ connection }) => {
        const options = { timeoutMs: 1000, body: new Uint8Array(100_000) };
        const call = connection.call(wrong, { text: "a" }, options);
        await assert.rejects(stage.settle(call), hasCode("PROTOCOL_ERROR"));
        assert.ok(connection.isOpen);
      });
    });

    it("fail with TOO_LARGE before anything is sent if the peer does not take as much", async () => {
      const stage = makeStage();
      await withEcho(
        stage,
        answerEcho,
        { bodyBytesMax: 1000, headBytesMax: 1024 },
        async ({ connection }) => {
          const body = new Uint8Array(1001);
          const call = connection.call(echo, { text: "" }, { timeoutMs: 1000, body });
          await assert.rejects(stage.settle(call), hasCode("TOO_LARGE"));
          const long = connection.call(echo, { text: "x".repeat(1024) }, { timeoutMs: 1000 });
          await assert.rejects(stage.settle(long), hasCode("TOO_LARGE"));
          const next = await stage.settle(
            connection.call(echo, { text: "a" }, { timeoutMs: 1000 }),
          );
          next.release();
        },
      );
    });

    it("fail with OVERLOADED above the bound that the server has told", async () => {
      const stage = makeStage();
      let go = (): void => {};
      const gate = new Promise<void>((resolve) => {
        go = resolve;
      });
      const wait: EchoHandler = async (request) => {
        request.release();
        await gate;
        return { text: request.head.text, bodyBytes: 0 };
      };
      await withEcho(stage, wait, { inFlightMax: 10 }, async ({ connection }) => {
        const options = { timeoutMs: 5000 };
        const calls = Array.from({ length: 10 }, () =>
          connection.call(echo, { text: "" }, options),
        );
        const surplus = connection.call(echo, { text: "" }, options);
        await assert.rejects(stage.settle(surplus), hasCode("OVERLOADED"));
        go();
        for (const response of await stage.settle(Promise.all(calls))) response.release();
      });
    });
  });
}
