import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AshlarError, isAshlarError } from "../../../shared/base/errors.ts";
import type { Clock } from "../../../shared/ports/clock.ts";
import type { ClientConnection } from "../../../shared/wire/client-connection.ts";
import type { CallContext } from "../../../shared/wire/rpc.ts";
import type { RpcServer } from "../../../shared/wire/rpc-server.ts";
import { TurnSlices } from "../../../shared/wire/turn-slices.ts";
import { CallContexts } from "../../support/call-contexts.ts";
import { usedHeapBytes } from "../../support/used-heap.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { echo, hasCode, tcpFixture, withPair } from "../../support/wire-fixture.ts";

/** Time for which each handler of these tests keeps the event loop busy. */
const BUSY_MS = 2;
/** Parts of this length that start in one slice of 5 ms: the third one ends it. */
const PARTS_PER_TURN_MAX = 3;
const CALLS = 100;
/** Large enough for a slab: `withPair` checks that all slabs are released. */
const BODY_BYTES = 8 * 1024;

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

/** Calls the server together, and returns how many handlers were busy in each turn of its event loop. */
async function busyPerTurn(wait: (context: CallContext) => Promise<unknown>): Promise<number[]> {
  const fixture = tcpFixture();
  const { clock } = fixture.server;
  const turns = new TurnCounter();
  const busy: { readonly text: string; readonly turn: number }[] = [];
  const counting = turns.run(clock);
  const register = (server: RpcServer): void =>
    server.onCall(echo, async (request, context) => {
      const { text } = request.head;
      request.release();
      await wait(context);
      busy.push({ text, turn: turns.count });
      stayBusy(clock);
      return { text, bodyBytes: 0 };
    });
  const texts = Array.from({ length: CALLS }, (_, number) => String(number));
  await withPair(fixture, { register }, async ({ connection }) => {
    await callAll(connection, texts);
  });
  turns.stop();
  await counting;
  assert.deepEqual(
    busy.map(({ text }) => text),
    texts,
  );
  const counts = new Map<number, number>();
  for (const { turn } of busy) counts.set(turn, (counts.get(turn) ?? 0) + 1);
  return [...counts.values()];
}

function assertBounded(counts: readonly number[]): void {
  const most = Math.max(...counts);
  assert.ok(most <= PARTS_PER_TURN_MAX, `${most} handlers were busy in one turn`);
}

describe("calls that arrive in one turn of the event loop", () => {
  it("start in several turns and in their order, so that timers and messages run between them", async () => {
    assertBounded(await busyPerTurn(async () => {}));
  });

  it("work in several turns although their handlers await functions that do not wait", async () => {
    assertBounded(
      await busyPerTurn(async () => {
        for (let depth = 0; depth < 20; depth += 1) await Promise.resolve();
      }),
    );
  });

  it("work in several turns after an event for which all of them have waited", async () => {
    let waitingCount = 0;
    let resume = (): void => {};
    const event = new Promise<void>((resolve) => {
      resume = resolve;
    });
    assertBounded(
      await busyPerTurn(async (context) => {
        waitingCount += 1;
        if (waitingCount === CALLS) resume();
        await event;
        await context.turn();
      }),
    );
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

describe("the parts of the work of a server", () => {
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  /** Work of 2 ms of virtual time, in a function that others await. */
  async function workIn(clock: VirtualClock, depth: number): Promise<void> {
    await Promise.resolve();
    if (depth > 0) await workIn(clock, depth - 1);
    else clock.stall(2);
  }

  /** Runs calls of several parts. Returns the names of the parts that end in each turn. */
  async function partsPerTurn(names: readonly string[], partCount: number): Promise<string[][]> {
    const clock = new VirtualClock();
    const contexts = new CallContexts(clock);
    const turns: string[][] = [[]];
    let inPart: string | null = null;
    const run = async (name: string): Promise<void> => {
      const context = contexts.make();
      for (let part = 1; part <= partCount; part += 1) {
        await context.turn();
        assert.equal(inPart, null, `${name} starts while ${inPart} is in a part`);
        inPart = name;
        await workIn(clock, 30);
        inPart = null;
        turns.at(-1)?.push(`${name}${part}`);
      }
    };
    const all = Promise.all(names.map(run));
    await settled();
    do turns.push([]);
    while (await clock.step());
    await all;
    return turns.filter((parts) => parts.length > 0);
  }

  it("are complete before the next one starts, and end the slice of a turn after 5 ms", async () => {
    const expected = [["a1", "b1", "c1"], ["d1", "e1", "f1"], ["g1"]];
    assert.deepEqual(await partsPerTurn([..."abcdefg"], 1), expected);
  });

  it("take their turns in the order of their waits: no call works twice before another", async () => {
    const expected = [
      ["a1", "b1", "c1"],
      ["a2", "b2", "c2"],
      ["a3", "b3", "c3"],
    ];
    assert.deepEqual(await partsPerTurn([..."abc"], 3), expected);
  });

  it("start at once if no other one waits", async () => {
    const clock = new VirtualClock();
    const slices = new TurnSlices(clock);
    assert.ok(slices.tryBegin());
    assert.ok(!slices.tryBegin(), "the first one has not ended");
    await clock.advance(0);
    assert.ok(slices.tryBegin(), "the slice of the turn is not over");
  });

  it("hold back the write of an answer while short ones follow, and not while long ones do", async () => {
    const writesAfter = async (partMs: number): Promise<number[]> => {
      const clock = new VirtualClock();
      const contexts = new CallContexts(clock);
      let computed = 0;
      const writes: number[] = [];
      const write = (): void => {
        writes.push(computed);
      };
      const answer = async (): Promise<void> => {
        await contexts.make().turn();
        clock.stall(partMs);
        computed += 1;
        contexts.slices.hold(write);
      };
      const all = Promise.all([answer(), answer(), answer(), answer()]);
      await clock.advance(0);
      await all;
      return writes;
    };
    assert.deepEqual(await writesAfter(0.01), [4]);
    assert.deepEqual(await writesAfter(1), [1, 2, 3, 4]);
  });

  it("are forgotten when their calls are cancelled, with all that they hold", async () => {
    const clock = new VirtualClock();
    const contexts = new CallContexts(clock);
    assert.ok(contexts.slices.tryBegin());
    const calls = 10_000;
    const cancelled = new AshlarError("CANCELLED", "cancelled");
    let dropped = 0;
    const heapBefore = usedHeapBytes();
    for (let number = 0; number < calls; number += 1) {
      const head = Array.from({ length: 512 }, (_, index) => index + number);
      const call = contexts.makeCall();
      call.begin(
        () => assert.fail(`call ${number} starts with ${head.length} values`),
        () => {
          dropped += 1;
        },
      );
      call.abort(cancelled);
    }
    const waiting = contexts.makeCall();
    const turn = waiting.turn();
    waiting.abort(cancelled);
    await assert.rejects(turn, hasCode("CANCELLED"));
    await assert.rejects(waiting.turn(), hasCode("CANCELLED"));
    const heldBytes = usedHeapBytes() - heapBefore;
    assert.equal(dropped, calls);
    assert.ok(heldBytes < 100 * calls, `the queue holds ${heldBytes} bytes`);
    await clock.advance(1);
    assert.ok(contexts.slices.tryBegin(), "the queue is empty");
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
      const body = new Uint8Array(BODY_BYTES);
      const options = { timeoutMs: 20_000, body, ...(signal && { signal }) };
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
