import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { present } from "../../../shared/base/assert.ts";
import { type Slab, SlabPool } from "../../../shared/flow/slabs.ts";
import { SeededRandom } from "../../support/seeded-random.ts";

const KIB = 1024;

describe("SlabPool.acquire", () => {
  it("resolves when another slab is released", async () => {
    const pool = new SlabPool({ bytesMax: 8 * KIB });
    const held = pool.tryAcquire(8 * KIB);
    const acquired = pool.acquire(8 * KIB, new AbortController().signal);
    held?.release();
    (await acquired).release();
    assert.equal(pool.acquiredBytes, 0);
  });

  it("rejects with the signal's reason and cancels the request", async () => {
    const pool = new SlabPool({ bytesMax: 8 * KIB });
    const held = pool.tryAcquire(8 * KIB);
    const abort = new AbortController();
    const acquired = pool.acquire(8 * KIB, abort.signal);
    abort.abort(new Error("the caller stopped"));
    await assert.rejects(acquired, /the caller stopped/);
    await assert.rejects(pool.acquire(8 * KIB, abort.signal), /the caller stopped/);
    held?.release();
    assert.equal(pool.acquiredBytes, 0);
  });
});

describe("SlabPool", () => {
  it("returns a slab of the requested length, and counts its rounded size", () => {
    const pool = new SlabPool({ bytesMax: 64 * KIB });
    const slab = pool.tryAcquire(5000);
    assert.equal(slab?.bytes.length, 5000);
    assert.equal(pool.acquiredBytes, 8 * KIB);
    slab?.release();
    assert.equal(pool.acquiredBytes, 0);
  });

  it("reuses the slab that was released last", () => {
    const pool = new SlabPool({ bytesMax: 64 * KIB });
    const [first, second] = [pool.tryAcquire(8 * KIB), pool.tryAcquire(8 * KIB)];
    const buffer = second?.bytes.buffer;
    first?.release();
    second?.release();
    assert.equal(pool.tryAcquire(6000)?.bytes.buffer, buffer);
  });

  it("keeps the size that is used: it evicts free slabs of another size", () => {
    let allocations = 0;
    const pool = new SlabPool({
      bytesMax: 64 * KIB,
      allocate: (lengthBytes) => {
        allocations += 1;
        return new Uint8Array(lengthBytes);
      },
    });
    const use = (lengthBytes: number, count: number): void => {
      const slabs = Array.from({ length: count }, () => pool.tryAcquire(lengthBytes));
      for (const slab of slabs) slab?.release();
    };
    use(16 * KIB, 4);
    use(4 * KIB, 2);
    allocations = 0;
    for (let round = 0; round < 100; round += 1) use(8 * KIB, 2);
    assert.equal(allocations, 2);
    use(4 * KIB, 2);
    assert.equal(allocations, 2, "the size that was used last before stays");
    use(16 * KIB, 2);
    assert.equal(allocations, 2, "only as many as necessary are evicted");
    use(128 * KIB, 1);
    use(8 * KIB, 2);
    assert.equal(allocations, 3, "a slab that is larger than the pool evicts nothing");
  });

  it("stays within its bound, but grants a slab of any size when no other slab is in use", () => {
    const pool = new SlabPool({ bytesMax: 16 * KIB });
    const slabs = [pool.tryAcquire(8 * KIB), pool.tryAcquire(8 * KIB)];
    assert.equal(pool.tryAcquire(1), null);
    for (const slab of slabs) slab?.release();
    const giant = pool.tryAcquire(100 * KIB);
    assert.equal(giant?.bytes.length, 100 * KIB);
    assert.equal(pool.tryAcquire(1), null);
    giant?.release();
    assert.equal(pool.acquiredBytes, 0);
  });

  it("reclaims a slab after the release of its last reference", () => {
    const pool = new SlabPool({ bytesMax: 16 * KIB });
    const slab = present(pool.tryAcquire(100), "the pool is empty");
    slab.retain();
    slab.release();
    assert.equal(pool.acquiredBytes, 4 * KIB);
    slab.release();
    assert.equal(pool.acquiredBytes, 0);
    assert.throws(() => slab.release(), /released once/);
    assert.throws(() => slab.retain(), /retained only before its last release/);
  });

  it("serves requests in order: a small one does not overtake a large one", () => {
    const pool = new SlabPool({ bytesMax: 16 * KIB });
    const held = [pool.tryAcquire(8 * KIB), pool.tryAcquire(8 * KIB)];
    const served: string[] = [];
    const take = (name: string, bytes: number): (() => void) =>
      pool.requestSlab(bytes, (slab) => {
        served.push(name);
        slab.release();
      });
    take("large", 16 * KIB);
    take("small", 4 * KIB);
    assert.equal(pool.tryAcquire(4 * KIB), null, "no caller overtakes the waiting requests");
    held[0]?.release();
    assert.deepEqual(served, []);
    held[1]?.release();
    assert.deepEqual(served, ["large", "small"]);
    assert.equal(pool.acquiredBytes, 0);
  });

  it("skips a cancelled request and serves the next one", () => {
    const pool = new SlabPool({ bytesMax: 16 * KIB });
    const held = [pool.tryAcquire(8 * KIB), pool.tryAcquire(8 * KIB)];
    const served: string[] = [];
    const cancel = pool.requestSlab(16 * KIB, () => served.push("large"));
    pool.requestSlab(8 * KIB, () => served.push("small"));
    held[0]?.release();
    cancel();
    cancel();
    assert.deepEqual(served, ["small"]);
  });

  it("keeps at most `idleBytesMax` free bytes", () => {
    const pool = new SlabPool({ bytesMax: 64 * KIB, idleBytesMax: 8 * KIB });
    const slabs = Array.from({ length: 4 }, () =>
      present(pool.tryAcquire(8 * KIB), "there is room"),
    );
    const buffers = new Set(slabs.map(({ bytes }) => bytes.buffer));
    for (const slab of slabs) slab.release();
    const again = [1, 2].map(() => present(pool.tryAcquire(8 * KIB), "there is room").bytes.buffer);
    assert.equal(again.filter((buffer) => buffers.has(buffer)).length, 1);
  });

  it("accounts for every byte in any order of the calls", () => {
    const random = new SeededRandom(3);
    const pool = new SlabPool({ bytesMax: 1024 * KIB });
    const held: Slab[] = [];
    const cancels: Array<() => void> = [];
    for (let step = 0; step < 20_000; step += 1) {
      const choice = random.integer(5);
      const bytes = 1 + random.integer(200 * KIB);
      if (choice < 2) cancels.push(pool.requestSlab(bytes, (slab) => held.push(slab)));
      else if (choice === 2) cancels[random.integer(cancels.length)]?.();
      else held.splice(random.integer(held.length), 1)[0]?.release();
      assert.ok(pool.acquiredBytes <= 1024 * KIB);
    }
    for (const cancel of cancels) cancel();
    for (const slab of held.splice(0)) slab.release();
    assert.equal(pool.acquiredBytes, 0);
  });
});
