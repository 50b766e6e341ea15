import assert from "node:assert/strict";
import { concatBytes } from "../../../shared/base/bytes.ts";
import {
  type ReadOpen,
  readChunk,
  type WriteDown,
  type WriteUp,
  writeChunk,
} from "../../../shared/protocol/chunk-api.ts";
import type { Intent, Receipt } from "../../../shared/protocol/intent.ts";
import type { Connection, Stream } from "../../../shared/wire/rpc.ts";
import { framesOf, type TestChunk } from "./chunks.ts";

export const STREAM_OPTIONS = { timeoutMs: 30_000 };

export interface OpenOptions {
  readonly writeId: string;
  readonly intent: Intent;
  readonly sizeHintBytes?: number | null;
  readonly resumeAtBytes?: number;
  readonly fillFrom?: string | null;
  /** Position of the server in the chain. The test is the server before it. Default: 0. */
  readonly position?: number;
}

/** The client side of one write chain, without retries. */
export class TestWrite {
  readonly stream: Stream<WriteUp, WriteDown>;
  ackedBytes = 0;

  constructor(connection: Connection, options: OpenOptions) {
    const { writeId, intent, sizeHintBytes = null, resumeAtBytes = 0, fillFrom = null } = options;
    const { position = 0 } = options;
    const open = { writeId, intent, position, sizeHintBytes, resumeAtBytes, fillFrom };
    this.stream = connection.open(writeChunk, open, STREAM_OPTIONS);
  }

  /** Returns the next message that is not an ack. */
  async next(): Promise<WriteDown | null> {
    for (;;) {
      const message = await this.stream.receive();
      if (message === null) return null;
      message.release();
      if (message.head.kind !== "ack") return message.head;
      assert.ok(message.head.bytes >= this.ackedBytes, "the acknowledged bytes never decrease");
      this.ackedBytes = message.head.bytes;
    }
  }

  async opened(): Promise<void> {
    const message = await this.next();
    assert.equal(message?.kind, "opened", JSON.stringify(message));
  }

  async failed(): Promise<Extract<WriteDown, { kind: "failed" }>> {
    const message = await this.next();
    assert.equal(message?.kind, "failed", JSON.stringify(message));
    assert.ok(message?.kind === "failed");
    return message;
  }

  /** Reads messages until the chain has acknowledged `bytes`. */
  async acked(bytes: number): Promise<void> {
    while (this.ackedBytes < bytes) {
      const message = await this.stream.receive();
      assert.ok(message !== null, "the stream has not ended");
      message.release();
      assert.equal(message.head.kind, "ack", JSON.stringify(message.head));
      if (message.head.kind === "ack") this.ackedBytes = message.head.bytes;
    }
  }

  async send(chunk: TestChunk, fromBytes = 0, toBytes = chunk.bytes.length): Promise<void> {
    for (const { offsetBytes, hashes, bytes } of framesOf(chunk, fromBytes)) {
      if (offsetBytes >= toBytes) return;
      await this.stream.send({ kind: "blocks", offsetBytes, hashes }, bytes);
    }
  }

  async seal(chunk: TestChunk): Promise<readonly Receipt[]> {
    const lengthBytes = chunk.bytes.length;
    await this.stream.send({ kind: "seal", chunkId: chunk.chunkId, lengthBytes });
    const message = await this.next();
    assert.equal(message?.kind, "sealed", JSON.stringify(message));
    assert.ok(message?.kind === "sealed");
    return message.receipts;
  }
}

/** Writes a whole chunk and seals it. Returns the receipts. */
export async function writeWhole(
  connection: Connection,
  chunk: TestChunk,
  options: OpenOptions,
): Promise<readonly Receipt[]> {
  const write = new TestWrite(connection, { sizeHintBytes: chunk.bytes.length, ...options });
  await write.opened();
  const [, receipts] = await Promise.all([write.send(chunk), sealAfter(write, chunk)]);
  return receipts;
}

async function sealAfter(write: TestWrite, chunk: TestChunk): Promise<readonly Receipt[]> {
  await write.acked(chunk.bytes.length);
  return write.seal(chunk);
}

export interface ReadResult {
  readonly bytes: Uint8Array;
  readonly hashes: Uint8Array;
  readonly offsets: readonly number[];
  readonly chunkLengthBytes: number;
}

/** Reads a range of a chunk. Rejects with the error of the server. */
export async function readRange(
  connection: Connection,
  range: Parameters<(typeof readChunk)["parseOpen"]>[0] & object,
): Promise<ReadResult> {
  const request = { withManifest: false, ...range } as ReadOpen;
  const stream = connection.open(readChunk, request, STREAM_OPTIONS);
  const parts: Uint8Array[] = [];
  const offsets: number[] = [];
  let hashes = new Uint8Array(0);
  let chunkLengthBytes = 0;
  for (;;) {
    const message = await stream.receive();
    if (message === null) return { bytes: concatBytes(parts), hashes, offsets, chunkLengthBytes };
    parts.push(message.body.slice());
    offsets.push(message.head.offsetBytes);
    if (message.head.hashes.length > 0) hashes = message.head.hashes.slice();
    chunkLengthBytes = message.head.chunkLengthBytes;
    message.release();
  }
}
