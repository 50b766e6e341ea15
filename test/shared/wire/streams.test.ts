import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as v from "valibot";
import { AshlarError, isAshlarError } from "../../../shared/base/errors.ts";
import { defineStream } from "../../../shared/protocol/method.ts";
import { ANY_ROLE } from "../../../shared/protocol/roles.ts";
import type { WireLimits } from "../../../shared/wire/limits.ts";
import type { Stream, StreamHandler } from "../../../shared/wire/rpc.ts";
import {
  chat,
  hasCode,
  memoryFixture,
  type Pair,
  tcpFixture,
  until,
  type WireFixture,
  withPair,
} from "../../support/wire-fixture.ts";

type ChatOpen = { text: string };
type Indexed = { index: number };
type ChatHandler = StreamHandler<ChatOpen, Indexed, Indexed>;

function withChat(
  fixture: WireFixture,
  handler: ChatHandler,
  limits: Partial<WireLimits>,
  test: (pair: Pair) => Promise<void>,
): Promise<void> {
  return withPair(fixture, { register: (server) => server.onStream(chat, handler), limits }, test);
}

/** Handler that sends every message back with its body. */
const answerAll: ChatHandler = async (request, stream) => {
  request.release();
  for (let message = await stream.receive(); message !== null; message = await stream.receive()) {
    await stream.send(message.head, message.body);
    message.release();
  }
};

const OPEN = { timeoutMs: 30_000 };

/** Reads and releases all messages until the end. */
async function readIndexes(stream: Stream<Indexed, Indexed>): Promise<number[]> {
  const indexes: number[] = [];
  for (let message = await stream.receive(); message !== null; message = await stream.receive()) {
    indexes.push(message.head.index);
    message.release();
  }
  return indexes;
}

for (const makeFixture of [tcpFixture, memoryFixture]) {
  describe(`streams over ${makeFixture().title}`, () => {
    it("transfer messages in order in both directions, and end after the last one", async () => {
      const fixture = makeFixture();
      await withChat(fixture, answerAll, {}, async ({ connection }) => {
        const stream = connection.open(chat, { text: "hi" }, OPEN);
        const sizes = Array.from({ length: 200 }, (_, index) => (index * 7919) % 300_000);
        const sending = (async () => {
          for (const [index, size] of sizes.entries()) {
            await stream.send({ index }, new Uint8Array(size).fill(index));
          }
          stream.end();
        })();
        const receiving = (async () => {
          for (const [index, size] of sizes.entries()) {
            const message = await stream.receive();
            assert.equal(message?.head.index, index);
            assert.equal(message?.body.length, size);
            assert.ok(message?.body.every((byte) => byte === (index & 255)));
            message?.release();
          }
          assert.equal(await stream.receive(), null);
          assert.equal(await stream.receive(), null, "receive returns null again after the end");
        })();
        await fixture.settle(Promise.all([sending, receiving]));
      });
    });

    it("of one connection do not block one another", async () => {
      const fixture = makeFixture();
      await withChat(fixture, answerAll, { streamWindowBytes: 100_000 }, async ({ connection }) => {
        const stuck = connection.open(chat, { text: "" }, OPEN);
        const sends = Array.from({ length: 8 }, (_, index) =>
          stuck.send({ index }, new Uint8Array(50_000)),
        );
        const settled = Promise.allSettled(sends);
        const free = connection.open(chat, { text: "" }, OPEN);
        const works = (async () => {
          for (let index = 0; index < 20; index += 1) {
            await free.send({ index }, new Uint8Array(50_000));
            (await free.receive())?.release();
          }
          free.end();
          assert.equal(await free.receive(), null);
        })();
        await fixture.settle(works);
        stuck.cancel(new AshlarError("CANCELLED", "Enough"));
        await fixture.settle(settled);
      });
    });

    it("block a sender whose peer does not read: the bytes held are bounded", async () => {
      const fixture = makeFixture();
      const windowBytes = 1024 * 1024;
      let release = (): void => {};
      const gate = new Promise<void>((resolve) => {
        release = resolve;
      });
      const idle: ChatHandler = async (request, stream) => {
        request.release();
        await gate;
        assert.equal((await readIndexes(stream)).length, 100);
      };
      await withChat(fixture, idle, { streamWindowBytes: windowBytes }, async ({ connection }) => {
        const stream = connection.open(chat, { text: "" }, OPEN);
        let sentCount = 0;
        const body = new Uint8Array(128 * 1024);
        const sends = Array.from({ length: 100 }, async (_, index) => {
          await stream.send({ index }, body);
          sentCount += 1;
        });
        await fixture.settle(fixture.client.clock.sleep(200));
        // The window, and the message that exceeds it.
        assert.ok(sentCount <= 8, `${sentCount} sends were done`);
        assert.ok(fixture.server.slabs.acquiredBytes <= windowBytes + body.length);
        assert.ok(stream.pendingBytes >= 100 * body.length);
        release();
        stream.end();
        await fixture.settle(Promise.all(sends));
        assert.equal(await fixture.settle(stream.receive()), null);
      });
    });

    it("wait for a slab when the pool is exhausted, on their connection only", async () => {
      const fixture = makeFixture({ slabBytesMax: 512 * 1024 });
      await withChat(fixture, answerAll, {}, async ({ connection }) => {
        const streams = Array.from({ length: 4 }, () => connection.open(chat, { text: "" }, OPEN));
        const work = streams.map(async (stream) => {
          const reading = readIndexes(stream);
          for (let index = 0; index < 20; index += 1) {
            await stream.send({ index }, new Uint8Array(130_000));
          }
          stream.end();
          assert.equal((await reading).length, 20);
        });
        await fixture.settle(Promise.all(work));
      });
    });

    it("transfer a message that is larger than the window", async () => {
      const fixture = makeFixture();
      await withChat(fixture, answerAll, { streamWindowBytes: 1000 }, async ({ connection }) => {
        const stream = connection.open(chat, { text: "" }, OPEN);
        const work = (async () => {
          const reading = readIndexes(stream);
          for (let index = 0; index < 3; index += 1) {
            await stream.send({ index }, new Uint8Array(5_000_000));
          }
          stream.end();
          assert.deepEqual(await reading, [0, 1, 2]);
        })();
        await fixture.settle(work);
      });
    });

    it("do not exhaust the connection's window when many hold back some credit", async () => {
      const fixture = makeFixture();
      const limits = { connectionWindowBytes: 200_000, streamWindowBytes: 100_000 };
      await withChat(fixture, answerAll, limits, async ({ connection }) => {
        const streams = Array.from({ length: 100 }, () =>
          connection.open(chat, { text: "" }, OPEN),
        );
        const work = streams.map(async (stream) => {
          for (let index = 0; index < 10; index += 1) {
            await stream.send({ index }, new Uint8Array(2000));
            (await stream.receive())?.release();
          }
        });
        await fixture.settle(Promise.all(work));
        for (const stream of streams) stream.end();
        await fixture.settle(Promise.all(streams.map((stream) => readIndexes(stream))));
      });
    });

    it("take turns when they wait for the connection's window", async () => {
      const fixture = makeFixture();
      const limits = { connectionWindowBytes: 200_000, streamWindowBytes: 150_000 };
      await withChat(fixture, answerAll, limits, async ({ connection }) => {
        const body = new Uint8Array(20_000);
        const greedy = Array.from({ length: 3 }, () => {
          const stream = connection.open(chat, { text: "" }, OPEN);
          const sends = Array.from({ length: 100 }, (_, index) => stream.send({ index }, body));
          const reading = readIndexes(stream);
          stream.end();
          return { sends, reading };
        });
        let sentFirstCount = 0;
        for (const { sends } of greedy) {
          for (const send of sends) send.then(() => (sentFirstCount += 1)).catch(() => {});
        }
        const modest = connection.open(chat, { text: "" }, OPEN);
        const work = (async () => {
          await modest.send({ index: 0 }, body);
          (await modest.receive())?.release();
          modest.end();
        })();
        await fixture.settle(work);
        assert.ok(sentFirstCount < 150, `${sentFirstCount} of 300 messages were sent first`);
        await fixture.settle(Promise.all(greedy.map(({ reading }) => reading)));
      });
    });

    it("end when the handler ends, after its messages", async () => {
      const fixture = makeFixture();
      const burst: ChatHandler = async (request, stream) => {
        request.release();
        for (let index = 0; index < 50; index += 1) {
          // The last messages are still queued when the handler ends.
          const bodyBytes = index < 45 ? 100_000 : 5000;
          stream.send({ index }, new Uint8Array(bodyBytes)).catch(() => {});
        }
      };
      await withChat(fixture, burst, { streamWindowBytes: 300_000 }, async ({ connection }) => {
        const stream = connection.open(chat, { text: "" }, OPEN);
        const indexes = await fixture.settle(readIndexes(stream));
        assert.equal(indexes.length, 50);
        await assert.rejects(fixture.settle(stream.send({ index: 0 })), hasCode("CANCELLED"));
      });
    });

    it("fail at the reader with the handler's error, after its messages", async () => {
      const fixture = makeFixture();
      const fail: ChatHandler = async (request, stream) => {
        request.release();
        await stream.send({ index: 1 });
        throw new AshlarError("NO_SPACE", "The disk is full");
      };
      await withChat(fixture, fail, {}, async ({ connection }) => {
        const stream = connection.open(chat, { text: "" }, OPEN);
        const message = await fixture.settle(stream.receive());
        assert.equal(message?.head.index, 1);
        message?.release();
        await assert.rejects(fixture.settle(stream.receive()), hasCode("NO_SPACE"));
        await assert.rejects(fixture.settle(stream.send({ index: 1 })), hasCode("NO_SPACE"));
      });
    });

    it("fail at both ends when one end cancels, and release all slabs and credit", async () => {
      const fixture = makeFixture();
      const seen: unknown[] = [];
      let isHolding = false;
      const hold: ChatHandler = async (request, stream, { signal }) => {
        request.release();
        const message = await stream.receive();
        isHolding = true;
        try {
          // The other messages stay in the queue.
          await new Promise((resolve) => signal.addEventListener("abort", resolve));
          await stream.receive();
        } catch (error) {
          seen.push(error);
          throw error;
        } finally {
          message?.release();
        }
      };
      await withChat(fixture, hold, {}, async ({ connection }) => {
        const stream = connection.open(chat, { text: "" }, OPEN);
        for (let index = 0; index < 10; index += 1) {
          await fixture.settle(stream.send({ index }, new Uint8Array(100_000)));
        }
        const reading = stream.receive();
        reading.catch(() => {});
        await until(fixture, () => isHolding);
        stream.cancel(new AshlarError("SOURCE_CHANGED", "The file has changed"));
        await assert.rejects(fixture.settle(reading), hasCode("SOURCE_CHANGED"));
        await assert.rejects(fixture.settle(stream.send({ index: 0 })), hasCode("SOURCE_CHANGED"));
        await until(fixture, () => seen.length === 1 && fixture.server.slabs.acquiredBytes === 0);
        assert.ok(isAshlarError(seen[0], "SOURCE_CHANGED"));
      });
    });

    it("fail with DEADLINE_EXCEEDED at both ends", async () => {
      const fixture = makeFixture();
      const seen: unknown[] = [];
      const wait: ChatHandler = async (request, stream) => {
        request.release();
        await stream.receive().catch((error) => seen.push(error));
      };
      await withChat(fixture, wait, {}, async ({ connection }) => {
        const stream = connection.open(chat, { text: "" }, { timeoutMs: 40 });
        await assert.rejects(fixture.settle(stream.receive()), hasCode("DEADLINE_EXCEEDED"));
        await until(fixture, () => seen.length === 1);
        assert.ok(isAshlarError(seen[0], "DEADLINE_EXCEEDED"));
      });
    });

    it("fail for an invalid message, and leave the connection open", async () => {
      const fixture = makeFixture();
      const wrong = defineStream(chat.name, ANY_ROLE, {
        open: v.object({ text: v.string() }),
        up: v.object({ index: v.string() }),
        down: v.object({ index: v.number() }),
      });
      await withChat(fixture, answerAll, {}, async ({ connection }) => {
        const stream = connection.open(wrong, { text: "" }, OPEN);
        stream.send({ index: "one" }, new Uint8Array(70_000)).catch(() => {});
        await assert.rejects(fixture.settle(stream.receive()), hasCode("PROTOCOL_ERROR"));
        const next = connection.open(chat, { text: "" }, OPEN);
        next.end();
        assert.equal(await fixture.settle(next.receive()), null);
      });
    });

    it("fail with UNSUPPORTED at the first use of a method without a handler", async () => {
      const fixture = makeFixture();
      await withPair(fixture, { register: () => {} }, async ({ connection }) => {
        const stream = connection.open(chat, { text: "" }, OPEN);
        stream.send({ index: 1 }, new Uint8Array(1_000_000)).catch(() => {});
        await assert.rejects(fixture.settle(stream.receive()), hasCode("UNSUPPORTED"));
      });
    });

    it("keep the connection's credit after ten windows of bytes through cancelled streams", async () => {
      const fixture = makeFixture();
      const ignore: ChatHandler = async (request) => request.release();
      const limits = { connectionWindowBytes: 500_000, streamWindowBytes: 400_000 };
      await withChat(fixture, ignore, limits, async ({ connection }) => {
        for (let round = 0; round < 20; round += 1) {
          const stream = connection.open(chat, { text: "" }, OPEN);
          const sends = Array.from({ length: 5 }, (_, index) =>
            stream.send({ index }, new Uint8Array(60_000)),
          );
          await fixture.settle(Promise.allSettled(sends));
          stream.cancel(new AshlarError("CANCELLED", "Enough"));
        }
      });
    });
  });
}
