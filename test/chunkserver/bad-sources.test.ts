import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fillPartial } from "../../chunkserver/pipeline/fill-partial.ts";
import { type ReceiveDeps, receiveChunk } from "../../chunkserver/pipeline/receive-chunk.ts";
import { type CopyOrder, copyChunk } from "../../chunkserver/upkeep/copy-chunk.ts";
import { AssertionError } from "../../shared/base/assert.ts";
import { BLOCK_BYTES } from "../../shared/base/ids.ts";
import { MemoryStores } from "../../shared/platform/memory-store.ts";
import type { ConnectionPool } from "../../shared/wire/connection-pool.ts";
import type { CallContext, Received, Stream } from "../../shared/wire/rpc.ts";
import { MemoryDisk } from "../support/memory-disk.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { hasCode, MemoryLog } from "../support/wire-fixture.ts";
import { framesOf, hasher, index, makeChunk, serverIdFor, writeIdFor } from "./support/chunks.ts";
import { openTestStore } from "./support/store-fixture.ts";

const ADDRESS = "127.0.0.1:1";

const newWorld = () => ({ disk: new MemoryDisk().mount(), stores: new MemoryStores() });

/** A server that sends these frames, whatever it is asked for. */
function sourceOf(
  frames: readonly { readonly head: object; readonly body: Uint8Array }[],
): ConnectionPool {
  const left = [...frames];
  const receive = async (): Promise<object | null> => {
    const frame = left.shift();
    return frame === undefined ? null : { ...frame, release: () => {} };
  };
  const connection = { open: () => ({ receive, cancel: () => {} }) };
  return { get: async () => connection } as unknown as ConnectionPool;
}

describe("a server that does not send what it should", () => {
  it("is left when it cuts a partial chunk within a block", async () => {
    await using store = await openTestStore(newWorld());
    const lease = await store.begin({
      writeId: writeIdFor(1),
      intentIndex: index(1),
      lifetimeMs: 60_000,
      sizeHintBytes: 1000,
      purpose: "write",
      resumeAtBytes: 0,
    });
    const frames = [0, 100].map((offsetBytes) => {
      const { bytes, hashes } = makeChunk(100, 1);
      return { head: { offsetBytes, hashes }, body: bytes };
    });
    const source = { writeId: writeIdFor(1), address: ADDRESS, lengthBytes: 1000 };
    const options = { timeoutMs: 1000, signal: new AbortController().signal };
    const filled = fillPartial({ pool: sourceOf(frames), hasher }, lease, source, options);
    await assert.rejects(filled, hasCode("CHUNK_CORRUPT"));
    lease.release();
  });

  it("is left when it passes over a part of a chunk", async () => {
    await using store = await openTestStore(newWorld());
    const chunk = makeChunk(3 * BLOCK_BYTES, 1);
    const frames = framesOf(chunk, 0, BLOCK_BYTES).map(({ offsetBytes, bytes }) => {
      const head = { offsetBytes, chunkLengthBytes: chunk.bytes.length, hashes: chunk.hashes };
      return { head, body: bytes };
    });
    const pool = sourceOf([frames[0], frames[2]].flatMap((frame) => frame ?? []));
    const { chunkId } = chunk;
    const source = { serverId: serverIdFor(9), address: ADDRESS, host: "h", rack: "r" };
    const lengthBytes = chunk.bytes.length;
    const order = { kind: "copy", chunkId, lengthBytes, intentIndex: index(1), sources: [source] };
    const world = { store, hasher, random: new SeededRandom(1), pool };
    const copied = copyChunk(world, order as CopyOrder, new AbortController().signal);
    await assert.rejects(copied, hasCode("NO_GOOD_REPLICA"));
  });
});

describe("a bug in the receipt of a chunk", () => {
  it("stops the server: it is no chain that broke", async () => {
    const chunkKey = (): never => {
      throw new AssertionError("a disk belongs to one cluster");
    };
    const store = { serverId: serverIdFor(1) };
    const world = { store, chunkKey, log: new MemoryLog() } as unknown as ReceiveDeps;
    const request = { head: {}, release: () => {} } as unknown as Received<never>;
    const stream = { send: async () => {} } as unknown as Stream<never, never>;
    const context = { signal: new AbortController().signal } as CallContext;
    await assert.rejects(receiveChunk(world, request, stream, context), AssertionError);
  });
});
