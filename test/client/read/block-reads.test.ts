import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Chunkservers } from "../../../client/chunkservers/chunkservers.ts";
import { BlockCache } from "../../../client/read/block-cache.ts";
import { BlockReads } from "../../../client/read/block-reads.ts";
import { AshlarError } from "../../../shared/base/errors.ts";
import { BLOCK_BYTES, type ChunkId, type ServerId } from "../../../shared/base/ids.ts";
import { Deferred } from "../../../shared/flow/deferred.ts";
import type { BlocksRequest, BlocksResponse } from "../../../shared/protocol/chunk-api.ts";
import type { Received } from "../../../shared/wire/rpc.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { hasCode } from "../../support/wire-fixture.ts";

const SERVER = { serverId: "a".repeat(32) as ServerId, address: "a:1" };
const signal = new AbortController().signal;

function chunkId(number: number): ChunkId {
  return number.toString(16).padStart(64, "0") as ChunkId;
}

function rangeOf(number: number, lengthBytes = BLOCK_BYTES) {
  return { chunkId: chunkId(number), offsetBytes: 0, lengthBytes, manifestOfBytes: null };
}

interface Call {
  readonly request: BlocksRequest;
  readonly response: Deferred<Received<BlocksResponse>>;
  releaseCount: number;
}

/** Records the calls. The test answers them. */
class Calls {
  readonly list: Call[] = [];
  readonly clock = new VirtualClock();
  readonly reads = new BlockReads(this as unknown as Chunkservers, this.clock);

  request(_server: unknown, _method: unknown, request: BlocksRequest) {
    const response = new Deferred<Received<BlocksResponse>>();
    this.list.push({ request, response, releaseCount: 0 });
    return response.promise;
  }

  /** Answers a call: the bytes of a range are the number of its chunk. */
  answer(index: number, failed: readonly number[] = []): void {
    const call = this.list[index] as Call;
    const parts: Buffer[] = [];
    const results = call.request.ranges.map((range) => {
      const number = Number.parseInt(range.chunkId, 16);
      const { offsetBytes, lengthBytes } = range;
      const hashes = new Uint8Array(0);
      if (failed.includes(number)) {
        const error = { code: "CHUNK_NOT_FOUND", message: "Cannot find it" };
        return { error, offsetBytes: 0, lengthBytes: 0, chunkLengthBytes: 0, hashes };
      }
      parts.push(Buffer.alloc(lengthBytes, number));
      return { error: null, offsetBytes, lengthBytes, chunkLengthBytes: lengthBytes, hashes };
    });
    const release = (): void => {
      call.releaseCount += 1;
    };
    call.response.resolve({ head: { results }, body: Buffer.concat(parts), release });
  }

  ranges(): number[] {
    return this.list.map(({ request }) => request.ranges.length);
  }
}

/** Lets all reactions run that need no event. */
function settle(): Promise<void> {
  return new Promise(setImmediate);
}

describe("small reads of one server", () => {
  it("share a call if they are ready at the same time, and each gets its bytes", async () => {
    const calls = new Calls();
    const read = [1, 2, 3].map((number) => calls.reads.read(SERVER, rangeOf(number), signal));
    await settle();
    assert.deepEqual(calls.ranges(), [3]);
    calls.answer(0);
    for (const [index, blocks] of (await Promise.all(read)).entries()) {
      assert.ok(Buffer.from(blocks.body).equals(Buffer.alloc(BLOCK_BYTES, index + 1)));
      assert.equal(calls.list[0]?.releaseCount, 0);
      blocks.release();
    }
    assert.equal(calls.list[0]?.releaseCount, 1);
  });

  it("are gathered while two calls are in progress", async () => {
    const calls = new Calls();
    const pending: Promise<unknown>[] = [];
    for (let number = 1; number <= 6; number += 1) {
      pending.push(calls.reads.read(SERVER, rangeOf(number), signal));
      await settle();
    }
    assert.deepEqual(calls.ranges(), [1, 1]);
    calls.answer(1);
    await settle();
    assert.deepEqual(calls.ranges(), [1, 1, 4]);
    calls.answer(0);
    calls.answer(2);
    await Promise.all(pending);
  });

  it("fail one by one", async () => {
    const calls = new Calls();
    const [good, bad] = [1, 2].map((number) => calls.reads.read(SERVER, rangeOf(number), signal));
    await settle();
    calls.answer(0, [2]);
    (await good)?.release();
    await assert.rejects(bad as Promise<unknown>, hasCode("CHUNK_NOT_FOUND"));
    assert.equal(calls.list[0]?.releaseCount, 1);
  });

  it("end with their signal, and free the buffer that arrives later", async () => {
    const calls = new Calls();
    const stop = new AbortController();
    const read = calls.reads.read(SERVER, rangeOf(1), stop.signal);
    await settle();
    stop.abort(new AshlarError("CANCELLED", "The reader was closed"));
    await assert.rejects(read, hasCode("CANCELLED"));
    calls.answer(0);
    await settle();
    assert.equal(calls.list[0]?.releaseCount, 1);
  });

  it("are not sent after their signal has aborted", async () => {
    const calls = new Calls();
    const stop = new AbortController();
    const pending = [1, 2].map((number) => calls.reads.read(SERVER, rangeOf(number), signal));
    await settle();
    const third = calls.reads.read(SERVER, rangeOf(3), signal);
    await settle();
    const waiting = calls.reads.read(SERVER, rangeOf(4), stop.signal);
    stop.abort(new AshlarError("CANCELLED", "The reader was closed"));
    await assert.rejects(waiting, hasCode("CANCELLED"));
    calls.answer(0);
    await Promise.all(pending);
    await settle();
    calls.answer(1);
    await third;
    await settle();
    assert.deepEqual(calls.ranges(), [2, 1]);
  });

  it("take at most 1 MiB and 64 ranges in a call", async () => {
    const calls = new Calls();
    const large = Array.from({ length: 3 }, (_, number) =>
      calls.reads.read(SERVER, rangeOf(number + 1, 600 * 1024), signal),
    );
    await settle();
    assert.deepEqual(calls.ranges(), [1, 1]);
    calls.answer(0);
    await settle();
    calls.answer(1);
    calls.answer(2);
    await Promise.all(large);
    const many = new Calls();
    const small = Array.from({ length: 70 }, (_, number) =>
      many.reads.read(SERVER, rangeOf(number + 1, 100), signal),
    );
    await settle();
    assert.deepEqual(many.ranges(), [64, 6]);
    many.answer(0);
    many.answer(1);
    await Promise.all(small);
  });

  it("are not used for ten minutes with a server of an old version", async () => {
    const calls = new Calls();
    const read = calls.reads.read(SERVER, rangeOf(1), signal);
    await settle();
    calls.list[0]?.response.reject(new AshlarError("UNSUPPORTED", "This server has no call"));
    await assert.rejects(read, hasCode("UNSUPPORTED"));
    assert.equal(calls.reads.canRead(SERVER, 1), false);
    assert.equal(
      calls.reads.canRead({ serverId: "b".repeat(32) as ServerId, address: "b:1" }, 1),
      true,
    );
    await calls.clock.advance(10 * 60_000);
    assert.equal(calls.reads.canRead(SERVER, 1), true);
  });
});

describe("the cache of blocks", () => {
  it("keeps the blocks that were used last, and their lengths", () => {
    const cache = new BlockCache(2 * BLOCK_BYTES);
    cache.put(chunkId(1), 0, Buffer.alloc(BLOCK_BYTES, 1));
    cache.put(chunkId(1), 1, Buffer.alloc(10, 2));
    assert.ok(cache.get(chunkId(1), 0)?.every((byte) => byte === 1));
    cache.put(chunkId(2), 0, Buffer.alloc(BLOCK_BYTES, 3));
    assert.equal(cache.get(chunkId(1), 1), undefined);
    assert.ok(cache.get(chunkId(1), 0)?.every((byte) => byte === 1));
    assert.ok(cache.get(chunkId(2), 0)?.every((byte) => byte === 3));
    cache.put(chunkId(3), 7, Buffer.alloc(5, 4));
    assert.deepEqual([...(cache.get(chunkId(3), 7) ?? [])], [4, 4, 4, 4, 4]);
  });
});
