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
import {
  framesOf,
  hasher,
  logIndex,
  makeChunk,
  serverIdFor,
  writeIdFor,
} from "./support/chunks.ts";
import { openTestStore } from "./support/store-fixture.ts";

const ADDRESS = "127.0.0.1:1";

const newDeps = () => ({ disk: new MemoryDisk().mount(), stores: new MemoryStores() });

/** Returns a pool whose only server sends these frames in answer to any request. */
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

describe("a source that sends bad frames", () => {
  it("is rejected by fillPartial if a frame starts within a block", async () => {
    await using store = await openTestStore(newDeps());
    const lease = await store.begin({
      writeId: writeIdFor(1),
      intentIndex: logIndex(1),
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

  it("is rejected by copyChunk if a block is missing", async () => {
    await using store = await openTestStore(newDeps());
    const chunk = makeChunk(3 * BLOCK_BYTES, 1);
    const frames = framesOf(chunk, 0, BLOCK_BYTES).map(({ offsetBytes, bytes }) => {
      const head = { offsetBytes, chunkLengthBytes: chunk.bytes.length, hashes: chunk.hashes };
      return { head, body: bytes };
    });
    const pool = sourceOf([frames[0], frames[2]].flatMap((frame) => frame ?? []));
    const { chunkId } = chunk;
    const source = { serverId: serverIdFor(9), address: ADDRESS, host: "h", rack: "r" };
    const lengthBytes = chunk.bytes.length;
    const order = {
      kind: "copy",
      chunkId,
      lengthBytes,
      intentIndex: logIndex(1),
      sources: [source],
    };
    const deps = { store, hasher, random: new SeededRandom(1), pool };
    const copied = copyChunk(deps, order as CopyOrder, new AbortController().signal);
    await assert.rejects(copied, hasCode("NO_GOOD_REPLICA"));
  });
});

describe("an assertion error in receiveChunk", () => {
  it("is thrown, and not reported to the writer as a broken chain", async () => {
    const keys = {
      get versions(): never {
        throw new AssertionError("a disk belongs to one cluster");
      },
    };
    const store = { serverId: serverIdFor(1) };
    const deps = { store, keys, log: new MemoryLog() } as unknown as ReceiveDeps;
    const request = { head: {}, release: () => {} } as unknown as Received<never>;
    const stream = { send: async () => {} } as unknown as Stream<never, never>;
    const context = { signal: new AbortController().signal } as CallContext;
    await assert.rejects(receiveChunk(deps, request, stream, context), AssertionError);
  });
});
