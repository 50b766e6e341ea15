import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { Clock } from "../../../shared/ports/clock.ts";
import type { ClientConnection } from "../../../shared/wire/client-connection.ts";
import type { RpcServer } from "../../../shared/wire/rpc-server.ts";
import { echo, tcpFixture, withPair } from "../../support/wire-fixture.ts";

/** Time for which each handler of these tests keeps the event loop busy. */
const BUSY_MS = 2;
/** Handlers of this length that start in one slice of 5 ms: the third one ends it. */
const STARTS_PER_TURN_MAX = 3;
const CALLS = 100;

/** Counts the turns of the event loop until it is stopped. */
class TurnCounter {
  count = 0;
  #isStopped = false;

  async run(clock: Clock): Promise<void> {
    while (!this.#isStopped) {
      await clock.yieldTurn();
      this.count += 1;
    }
  }

  stop(): void {
    this.#isStopped = true;
  }
}

function stayBusy(clock: Clock): void {
  const endMs = clock.monotonicMs() + BUSY_MS;
  while (clock.monotonicMs() < endMs);
}

describe("calls that arrive in one turn of the event loop", () => {
  it("start in several turns and in their order, so that timers and messages run between them", async () => {
    const fixture = tcpFixture();
    const { clock } = fixture.server;
    const turns = new TurnCounter();
    const started: { readonly text: string; readonly turn: number }[] = [];
    const counting = turns.run(clock);
    const register = (server: RpcServer): void =>
      server.onCall(echo, async (request) => {
        const { text } = request.head;
        request.release();
        started.push({ text, turn: turns.count });
        stayBusy(clock);
        return { text, bodyBytes: 0 };
      });
    await withPair(fixture, { register }, async ({ connection }) => {
      const texts = Array.from({ length: CALLS }, (_, number) => String(number));
      await callAll(connection, texts);
      assert.deepEqual(
        started.map(({ text }) => text),
        texts,
      );
    });
    turns.stop();
    await counting;
    const startsOfTurn = new Map<number, number>();
    for (const { turn } of started) startsOfTurn.set(turn, (startsOfTurn.get(turn) ?? 0) + 1);
    const most = Math.max(...startsOfTurn.values());
    assert.ok(most <= STARTS_PER_TURN_MAX, `${most} calls started in one turn`);
  });

  it("do not start when the caller has cancelled them, and release their bodies", async () => {
    const fixture = tcpFixture();
    const { clock } = fixture.server;
    let startedCount = 0;
    const register = (server: RpcServer): void =>
      server.onCall(echo, async (request) => {
        request.release();
        startedCount += 1;
        stayBusy(clock);
        if (startedCount === 1) cancelAll.abort();
        return { text: request.head.text, bodyBytes: 0 };
      });
    const cancelAll = new AbortController();
    await withPair(fixture, { register }, async ({ connection }) => {
      const { signal } = cancelAll;
      const outcomes = await callAll(
        connection,
        Array.from({ length: CALLS }, () => "cancelled"),
        signal,
      );
      assert.ok(outcomes.some((outcome) => outcome === "CANCELLED"));
      // The next call starts after all that were sent before it.
      await callAll(connection, ["last"]);
    });
    assert.ok(startedCount < CALLS, `${startedCount} of ${CALLS} handlers started`);
  });
});

/** Resolves with the code of each error, or "answered". */
function callAll(
  connection: ClientConnection,
  texts: readonly string[],
  signal?: AbortSignal,
): Promise<string[]> {
  return Promise.all(
    texts.map(async (text) => {
      const options = { timeoutMs: 20_000, body: new Uint8Array(64), ...(signal && { signal }) };
      try {
        (await connection.call(echo, { text }, options)).release();
        return "answered";
      } catch (error) {
        if (!isAshlarError(error)) throw error;
        return error.code;
      }
    }),
  );
}
