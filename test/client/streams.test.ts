import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, it } from "node:test";
import type { PutResult } from "../../client/results.ts";
import { toNodeWritable, toWebWritable } from "../../client/streams.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import { usedHeapBytes } from "../support/used-heap.ts";
import { hasCode } from "../support/wire-fixture.ts";

const PIECE = new Uint8Array(64);

/** Consumes one piece, and fails while it waits for the next. */
async function failing(source: AsyncIterable<Uint8Array>): Promise<PutResult> {
  const pieces = source[Symbol.asyncIterator]();
  await pieces.next();
  pieces.next().catch(() => {}); // Stays pending.
  await new Promise(setImmediate);
  throw new AshlarError("WRITE_CHAIN_FAILED", "Cannot write a chunk");
}

/** Consumes all pieces. */
async function reading(source: AsyncIterable<Uint8Array>): Promise<PutResult> {
  let sizeBytes = 0;
  for await (const piece of source) sizeBytes += piece.length;
  return { sizeBytes } as PutResult;
}

describe("a write stream", () => {
  it("emits the error of a failed write without waiting for the next piece", async () => {
    const stream = toNodeWritable(failing);
    stream.write(PIECE);
    const [error] = (await once(stream, "error")) as [unknown];
    assert.ok(hasCode("WRITE_CHAIN_FAILED")(error));
  });

  it("rejects a web stream without waiting for the next piece", async () => {
    const writer = toWebWritable(failing).getWriter();
    await writer.write(PIECE);
    await assert.rejects(writer.closed, hasCode("WRITE_CHAIN_FAILED"));
  });

  it("retains no consumed piece", async () => {
    const pieces = 20_000;
    const writer = toWebWritable(reading).getWriter();
    await writer.write(PIECE);
    const heapBefore = usedHeapBytes();
    for (let count = 0; count < pieces; count += 1) await writer.write(PIECE);
    const grownBytes = usedHeapBytes() - heapBefore;
    await writer.close();
    assert.ok(grownBytes < 100 * pieces, `${Math.round(grownBytes / pieces)} bytes a piece`);
  });
});
