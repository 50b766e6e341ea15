import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FairSlabs } from "../../../shared/flow/fair-slabs.ts";
import { type Slab, SlabPool } from "../../../shared/flow/slabs.ts";

const KIB = 1024;
const { signal } = new AbortController();

/** Resolves in a later turn, when all granted requests have resolved. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function slabsOf(count: number): FairSlabs {
  return new FairSlabs(new SlabPool({ bytesMax: count * 4 * KIB }));
}

/** Requests slabs, and records for which source each was granted. */
class Requests {
  readonly granted: string[] = [];
  readonly held: { readonly name: string; readonly slab: Slab }[] = [];

  /** Starts a request that is granted, or waits until the end of the test. */
  start(slabs: FairSlabs, name: string): void {
    this.run(slabs, name).catch(() => {});
  }

  run(slabs: FairSlabs, name: string, abort = signal): Promise<void> {
    return slabs.acquire(name.slice(0, 1), 4 * KIB, abort).then((slab) => {
      this.granted.push(name);
      this.held.push({ name, slab });
    });
  }
}

describe("FairSlabs", () => {
  it("gives a source at most a quarter of the pool, and lets the others pass", async () => {
    const slabs = slabsOf(8);
    const requests = new Requests();
    for (const name of ["a1", "a2", "a3", "a4", "b1", "b2", "c1"]) requests.start(slabs, name);
    await settled();
    assert.deepEqual(requests.granted, ["a1", "a2", "b1", "b2", "c1"]);
    assert.equal(slabs.waitingCount, 2);
    assert.equal(slabs.tryAcquire("d", 4 * KIB), null, "it does not overtake those that wait");
    requests.held[0]?.slab.release();
    await settled();
    assert.deepEqual(requests.granted.slice(5), ["a3"]);
  });

  it("serves the sources in turn when the pool is empty", async () => {
    const slabs = slabsOf(4);
    const requests = new Requests();
    for (const source of ["a", "b", "c", "d"]) requests.start(slabs, `${source}1`);
    for (const name of ["e1", "e2", "f1", "f2", "g1"]) requests.start(slabs, name);
    await settled();
    while (requests.held.length > 0) {
      requests.held.shift()?.slab.release();
      await settled();
    }
    assert.deepEqual(requests.granted.slice(4), ["e1", "f1", "g1", "e2", "f2"]);
    assert.equal(slabs.acquiredBytes, 0);
    assert.equal(slabs.waitingCount, 0);
  });

  it("forgets a request that is aborted while it waits, also the one that is next", async () => {
    const slabs = slabsOf(1);
    const requests = new Requests();
    await requests.run(slabs, "a1");
    const aborts = [new AbortController(), new AbortController()];
    const waiting = aborts.map((abort, number) => requests.run(slabs, `b${number}`, abort.signal));
    requests.start(slabs, "c1");
    for (const abort of aborts) abort.abort(new Error("no longer needed"));
    for (const each of waiting) await assert.rejects(each, /no longer needed/);
    requests.held[0]?.slab.release();
    await settled();
    assert.deepEqual(requests.granted, ["a1", "c1"]);
    requests.held[1]?.slab.release();
    assert.equal(slabs.acquiredBytes, 0);
  });

  it("counts a slab until its last reference is released", async () => {
    const slabs = slabsOf(4);
    const slab = slabs.tryAcquire("a", 4 * KIB);
    slab?.retain();
    slab?.release();
    assert.equal(slabs.tryAcquire("a", 4 * KIB), null);
    slab?.release();
    assert.notEqual(slabs.tryAcquire("a", 4 * KIB), null);
  });
});
