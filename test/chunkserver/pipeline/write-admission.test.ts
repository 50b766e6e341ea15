import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  type AdmissionRequest,
  type AdmittedWrite,
  WriteAdmission,
} from "../../../chunkserver/pipeline/write-admission.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { hasCode } from "../../support/wire-fixture.ts";

const MIB = 1024 * 1024;
/** Memory of a write of unknown length. */
const FULL_BYTES = 7.5 * MIB;
/** Memory for one write of each class: the least that there is. */
const BYTES_MIN = 9 * FULL_BYTES;

function request(options: Partial<AdmissionRequest> = {}): AdmissionRequest {
  const { signal } = new AbortController();
  const defaults = { source: "a", hopsAfter: 8, sizeHintBytes: null, signal, waitMsMax: 60_000 };
  return { ...defaults, ...options };
}

/** An admission with memory for one write of each class, and for no second one with eight hops. */
function makeAdmission(): { admission: WriteAdmission; clock: VirtualClock } {
  const clock = new VirtualClock();
  return { clock, admission: new WriteAdmission(BYTES_MIN, clock) };
}

/** Records the names of writes in the order of their admission. */
class Writes {
  readonly admitted: string[] = [];
  readonly held = new Map<string, AdmittedWrite>();
  readonly #admission: WriteAdmission;

  constructor(admission: WriteAdmission) {
    this.#admission = admission;
  }

  start(name: string, options: Partial<AdmissionRequest> = {}): void {
    this.#admission.admit(request({ source: name.slice(0, 1), ...options })).then(
      (write) => {
        this.admitted.push(name);
        this.held.set(name, write);
      },
      () => {}, // Only the admitted ones count.
    );
  }

  end(name: string): void {
    const write = this.held.get(name);
    assert.ok(write !== undefined, `${name} was admitted`);
    this.held.delete(name);
    write.release();
  }
}

describe("the admission of writes", () => {
  it("serves the sources in turn, each in its order", async () => {
    const { admission, clock } = makeAdmission();
    const writes = new Writes(admission);
    for (const name of ["a1", "a2", "a3", "b1", "b2", "c1"]) writes.start(name);
    await clock.advance(1);
    while (writes.held.size > 0) {
      for (const name of writes.held.keys()) writes.end(name);
      await clock.advance(1);
    }
    assert.deepEqual(writes.admitted, ["a1", "a2", "b1", "c1", "a3", "b2"]);
    assert.equal(admission.reservedBytes, 0);
  });

  it("lets a large write before smaller ones that would fit", async () => {
    const { admission, clock } = makeAdmission();
    const writes = new Writes(admission);
    writes.start("a1", { sizeHintBytes: MIB });
    writes.start("b1");
    writes.start("c1", { sizeHintBytes: MIB });
    await clock.advance(1);
    assert.deepEqual(writes.admitted, ["a1"]);
    writes.end("a1");
    await clock.advance(1);
    assert.deepEqual(writes.admitted, ["a1", "b1"]);
  });

  it("has memory for a write with fewer hops, however many with more hops there are", async () => {
    const { admission, clock } = makeAdmission();
    const writes = new Writes(admission);
    for (const name of ["a1", "a2", "a3"]) writes.start(name);
    await clock.advance(1);
    assert.deepEqual(writes.admitted, ["a1"]);
    for (let hopsAfter = 7; hopsAfter >= 0; hopsAfter -= 1) {
      writes.start(`b${hopsAfter}`, { hopsAfter });
      writes.start(`c${hopsAfter}`, { hopsAfter });
      await clock.advance(1);
      assert.deepEqual(writes.admitted.at(-1), `b${hopsAfter}`);
    }
    assert.equal(admission.reservedBytes, admission.bytesMax);
    writes.end("b0");
    await clock.advance(1);
    assert.ok(writes.held.has("c0"), "it gets the memory of a write of its class");
  });

  it("gives the first and the second servers of chains of three at most two thirds of the memory", async () => {
    const clock = new VirtualClock();
    const admission = new WriteAdmission(36 * FULL_BYTES, clock);
    const writes = new Writes(admission);
    const start = (hopsAfter: number): void => {
      for (let count = 0; count < 40; count += 1)
        writes.start(`${hopsAfter}-${count}`, { hopsAfter });
    };
    for (const [hopsAfter, admittedCount] of [
      [2, 12],
      [1, 24],
      [0, 36],
    ] as const) {
      start(hopsAfter);
      await clock.advance(1);
      assert.equal(writes.admitted.length, admittedCount);
    }
    assert.equal(admission.waitingCount, 84);
  });

  it("does not deadlock: three servers, chains in all orders, far more than fit", async () => {
    const clock = new VirtualClock();
    const servers = [0, 1, 2].map(() => new WriteAdmission(BYTES_MIN, clock));
    const orders = [
      [0, 1, 2],
      [1, 2, 0],
      [2, 0, 1],
      [0, 2, 1],
    ];
    let doneCount = 0;
    const run = async (order: readonly number[], number: number): Promise<void> => {
      const held: AdmittedWrite[] = [];
      for (const [position, server] of order.entries()) {
        // All servers of a chain are held at once, as by a write.
        const admission = servers[server] as WriteAdmission;
        const hopsAfter = order.length - 1 - position;
        held.push(await admission.admit(request({ source: `${number % 8}`, hopsAfter })));
        await clock.sleep(1);
      }
      await clock.sleep(10);
      for (const write of held) write.release();
      doneCount += 1;
    };
    const all = Array.from({ length: 64 }, (_, number) =>
      run(orders[number % orders.length] ?? [], number),
    );
    await clock.advanceFor(Promise.all(all), "all writes end");
    assert.equal(doneCount, 64);
    for (const admission of servers) assert.equal(admission.reservedBytes, 0);
  });

  it("takes the memory of an idle writer for one that waits, and not that of an active one", async () => {
    const { admission, clock } = makeAdmission();
    const hopsAfter = 7; // There is memory for two.
    const idle = await admission.admit(request({ hopsAfter }));
    const active = await admission.admit(request({ hopsAfter }));
    let receivedBytes = 0;
    idle.receivedWhileWaiting = () => 12;
    active.receivedWhileWaiting = () => {
      receivedBytes += MIB;
      return receivedBytes;
    };
    const revoked: string[] = [];
    idle.revoked.catch(({ code }) => {
      revoked.push(`idle ${code}`);
      idle.release();
    });
    active.revoked.catch(() => revoked.push("active"));
    await clock.advance(60_000);
    assert.deepEqual(revoked, [], "no write waits");
    const waiting = admission.admit(request({ hopsAfter }));
    const write = await clock.advanceFor(waiting, "a write gets the memory");
    assert.deepEqual(revoked, ["idle OVERLOADED"]);
    write.release();
    active.release();
    await admission.idle();
  });

  it("refuses after the longest wait, and forgets writes that have ended while they waited", async () => {
    const { admission, clock } = makeAdmission();
    const first = await admission.admit(request());
    const abort = new AbortController();
    const aborted = admission.admit(request({ signal: abort.signal }));
    const late = admission.admit(request({ waitMsMax: 2_000 }));
    assert.equal(admission.waitingCount, 2);
    abort.abort(new Error("the writer has gone"));
    await assert.rejects(aborted, /the writer has gone/);
    await assert.rejects(clock.advanceFor(late, "it is refused"), hasCode("OVERLOADED"));
    assert.equal(admission.waitingCount, 0);
    first.release();
    assert.equal(admission.reservedBytes, 0);
  });

  it("bounds the number of writes that wait", async () => {
    const { admission } = makeAdmission();
    const abort = new AbortController();
    const { signal } = abort;
    await admission.admit(request());
    const waiting = Array.from({ length: 4096 }, () => admission.admit(request({ signal })));
    await assert.rejects(admission.admit(request({ source: "b" })), hasCode("OVERLOADED"));
    abort.abort(new Error("the end of the test"));
    await Promise.allSettled(waiting);
  });
});
