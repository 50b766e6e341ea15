import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { RecentReads } from "../../chunkserver/store/recent-reads.ts";
import type { ChunkId } from "../../shared/base/ids.ts";

const MIB = 1024 * 1024;

function chunk(number: number): ChunkId {
  return number.toString(16).padStart(64, "0") as ChunkId;
}

describe("recent reads", () => {
  it("bypasses the cache for the first stream, and uses it for a repeated one", () => {
    const reads = new RecentReads();
    assert.equal(reads.record(chunk(1), 0, 8 * MIB), "pass");
    assert.equal(reads.record(chunk(1), 8 * MIB, 8 * MIB), "pass", "another range of the chunk");
    assert.equal(reads.record(chunk(2), 0, 8 * MIB), "pass", "another chunk");
    assert.equal(reads.record(chunk(1), 0, 8 * MIB), "keep");
    assert.equal(reads.record(chunk(1), 0, 8 * MIB), "keep");
  });

  it("uses the cache for small reads, which profit from its read-ahead", () => {
    assert.equal(new RecentReads().record(chunk(1), 0, 64 * 1024), "keep");
  });

  it("forgets old reads, and remembers repeated ones", () => {
    const reads = new RecentReads();
    reads.record(chunk(1), 0, MIB);
    reads.record(chunk(2), 0, MIB);
    for (let number = 10; number < 17_000; number += 1) {
      reads.record(chunk(number), 0, MIB);
      if (number % 1000 === 0) assert.equal(reads.record(chunk(2), 0, MIB), "keep");
    }
    assert.equal(reads.record(chunk(1), 0, MIB), "pass");
    assert.equal(reads.record(chunk(2), 0, MIB), "keep");
  });
});
