import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type TransferSlot, TransferSlots } from "../../../client/gateway/transfer-slots.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

const LIMITS = { max: 4, perClientMax: 2, waitMsMax: 3_000 };

class Setup {
  readonly clock = new VirtualClock();
  readonly slots = new TransferSlots(LIMITS, this.clock);
  readonly signal = new AbortController().signal;

  begin(client: string, direction: "in" | "out" = "out"): Promise<TransferSlot> {
    return this.slots.acquire({ client, direction }, this.signal);
  }

  /** Advances the time. Returns the slot if it was acquired meanwhile, else null. */
  async within(durationMs: number, slot: Promise<TransferSlot>): Promise<TransferSlot | null> {
    let found: TransferSlot | null = null;
    slot.then(
      (acquired) => {
        found = acquired;
      },
      () => {},
    );
    await this.clock.advance(durationMs);
    return found;
  }

  async refusal(slot: Promise<TransferSlot>): Promise<unknown> {
    const refused = assert.rejects(slot, (error) => {
      assert.ok(isAshlarError(error, "OVERLOADED"));
      limit = error.details["limit"];
      return true;
    });
    let limit: unknown;
    await this.clock.advance(LIMITS.waitMsMax + 100);
    await refused;
    return limit;
  }
}

describe("TransferSlots", () => {
  it("takes the slot of a download that is idle, and calls it once", async () => {
    const setup = new Setup();
    const first = await setup.begin("a");
    const second = await setup.begin("a");
    let lostCount = 0;
    first.beginIdle(() => {
      lostCount += 1;
    });
    const third = setup.begin("a");
    assert.equal(await setup.within(200, third), null, "250 ms have not passed");
    assert.notEqual(await setup.within(100, third), null);
    assert.deepEqual([lostCount, first.endIdle(), second.endIdle()], [1, false, true]);
    assert.equal(setup.slots.used, 2);
    // The first one continues when the second one ends.
    const held = first.hold(setup.signal);
    second.release();
    await setup.clock.advance(60);
    await held;
    assert.equal(first.endIdle(), true);
  });

  it("takes the slot of a download after its turn, if it is idle for a moment", async () => {
    const setup = new Setup();
    const slots = [await setup.begin("a"), await setup.begin("b"), await setup.begin("a")];
    await setup.begin("b");
    await setup.clock.advance(900);
    const waiting = setup.begin("c");
    slots[1]?.beginIdle(() => {});
    await setup.clock.advance(60);
    assert.equal(slots[1]?.endIdle(), true, "the turn of a second has not passed");
    await setup.clock.advance(100);
    slots[1]?.beginIdle(() => {});
    assert.notEqual(await setup.within(60, waiting), null);
    assert.equal(slots[1]?.endIdle(), false);
  });

  it("never takes the slot of an upload or of a download in progress", async () => {
    const setup = new Setup();
    for (const client of ["a", "a"]) await setup.begin(client, "in");
    for (const client of ["b", "b"]) await setup.begin(client);
    assert.equal(await setup.refusal(setup.begin("c")), "total");
    assert.equal(await setup.refusal(setup.begin("a")), "client");
    assert.equal(setup.slots.used, 4);
  });

  it("leaves a quarter of the slots to downloads", async () => {
    const setup = new Setup();
    for (const client of ["a", "a", "b"]) await setup.begin(client, "in");
    assert.equal(setup.slots.hasFree, false);
    assert.equal(await setup.refusal(setup.begin("c", "in")), "total");
    const download = await setup.begin("c");
    download.release();
    assert.equal(setup.slots.used, 3);
  });

  it("leaves a quarter to downloads, also when uploads take the slots of idle downloads", async () => {
    const setup = new Setup();
    const idle: TransferSlot[] = [];
    for (const client of ["a", "a", "b", "b"]) idle.push(await setup.begin(client));
    for (const slot of idle) slot.beginIdle(() => {});
    await setup.clock.advance(300);
    const uploads = ["a", "a", "b"].map((client) => setup.begin(client, "in"));
    await setup.clock.advance(60);
    await Promise.all(uploads);
    await setup.refusal(setup.begin("b", "in"));
  });

  it("serves waiters in their order, past those that wait for their own limit", async () => {
    const setup = new Setup();
    const own = [await setup.begin("a"), await setup.begin("a")];
    const order: string[] = [];
    const waiting = ["a", "b", "c"].map(async (client) => {
      const slot = await setup.begin(client);
      order.push(client);
      return slot;
    });
    await setup.clock.advance(100);
    assert.deepEqual(order, ["b", "c"]);
    own[0]?.release();
    await Promise.all(waiting);
    assert.deepEqual(order, ["b", "c", "a"]);
    assert.equal(setup.slots.used, 4);
  });

  it("bounds the requests of one client that wait", async () => {
    const setup = new Setup();
    const held = await setup.begin("a");
    const lost = await setup.begin("a");
    lost.beginIdle(() => {});
    await setup.clock.advance(300);
    await setup.begin("a");
    assert.equal(lost.endIdle(), false);
    const waiting = Array.from({ length: 64 }, () => setup.begin("a").catch(() => null));
    await assert.rejects(setup.begin("a"), (error) => isAshlarError(error, "OVERLOADED"));
    // A transfer that has begun waits without a limit.
    const resumed = lost.hold(setup.signal);
    await setup.clock.advance(LIMITS.waitMsMax + 100);
    held.release();
    await setup.clock.advance(100);
    await resumed;
    assert.ok((await Promise.all(waiting)).every((slot) => slot === null));
    assert.equal(setup.slots.used, 2);
  });

  it("holds nothing for a request that ended when it got its slot", async () => {
    const setup = new Setup();
    const held = await setup.begin("a");
    await setup.begin("a");
    const aborted = new AbortController();
    const waiting = setup.slots.acquire({ client: "a", direction: "out" }, aborted.signal);
    const rejected = assert.rejects(waiting, /disconnected/);
    held.release();
    aborted.abort(new Error("the client disconnected"));
    await rejected;
    assert.equal(setup.slots.used, 1);
  });

  it("holds nothing for a request that ended while it waited", async () => {
    const setup = new Setup();
    const held = await setup.begin("a");
    await setup.begin("a");
    const aborted = new AbortController();
    const waiting = setup.slots.acquire({ client: "a", direction: "out" }, aborted.signal);
    const reason = new Error("the client disconnected");
    const rejected = assert.rejects(waiting, reason);
    aborted.abort(reason);
    await rejected;
    held.release();
    await setup.clock.advance(100);
    assert.equal(setup.slots.used, 1);
  });
});
