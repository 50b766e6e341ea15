import * as v from "valibot";
import { BLOCK_BYTES, CHUNK_BYTES_MAX, DIGEST_BYTES } from "../base/ids.ts";
import { intentSchema, receiptSchema } from "./intent.ts";
import { defineCall, defineStream } from "./method.ts";
import {
  addressSchema,
  bytesSchema,
  chunkIdSchema,
  countSchema,
  serverIdSchema,
  shortTextSchema,
  writeIdSchema,
} from "./schemas.ts";

/** What clients and chunkservers ask of a chunkserver. */

/** Largest body of one `blocks` message. */
export const FRAME_BYTES_MAX = 2 * 1024 * 1024;
const lengthSchema = v.pipe(countSchema, v.maxValue(CHUNK_BYTES_MAX));
const frameHashesSchema = bytesSchema((FRAME_BYTES_MAX / BLOCK_BYTES) * DIGEST_BYTES);

const errorDataSchema = v.object({
  code: shortTextSchema,
  message: v.pipe(v.string(), v.maxLength(4000)),
});

/**
 * Writes one chunk down a chain. Every server checks each block against its hash, passes the frame
 * on, writes it, and acknowledges what it and all servers after it have.
 *
 * A broken chain is taken up again under the same `writeId` with other servers: the survivors keep
 * their partial chunk for the intent's lifetime.
 */
export const writeChunk = defineStream("chunk.write", {
  open: v.object({
    writeId: writeIdSchema,
    intent: intentSchema,
    /** Position of the addressed server in `intent.servers`; the chain goes on with the next. */
    position: countSchema,
    /** Length of the chunk where the writer knows it: a small one goes to a packed extent. */
    sizeHintBytes: v.nullable(lengthSchema),
    /** The stream goes on at this offset, a block boundary; 0 for a new chunk. */
    resumeAtBytes: lengthSchema,
    /** A server in the chain that has the bytes before `resumeAtBytes`, for those that do not. */
    fillFrom: v.nullable(addressSchema),
  }),
  up: v.variant("kind", [
    /** Body: whole blocks from `offsetBytes` (the last block of the chunk may be short). */
    v.object({ kind: v.literal("blocks"), offsetBytes: lengthSchema, hashes: frameHashesSchema }),
    v.object({ kind: v.literal("seal"), chunkId: chunkIdSchema, lengthBytes: lengthSchema }),
  ]),
  down: v.variant("kind", [
    /** This server and all after it are ready. */
    v.object({ kind: v.literal("opened") }),
    /** This server and all after it have written (not synced) the bytes before `bytes`. */
    v.object({ kind: v.literal("ack"), bytes: lengthSchema }),
    /** Durable on this server and all after it. Their receipts, the tail's last. */
    v.object({ kind: v.literal("sealed"), receipts: v.array(receiptSchema) }),
    /** The chain is broken at `serverId`; the stream ends after this. */
    v.object({ kind: v.literal("failed"), serverId: serverIdSchema, error: errorDataSchema }),
  ]),
});

/** Opening request of `chunk.write`. */
export type WriteOpen = ReturnType<(typeof writeChunk)["parseOpen"]>;
/** Message of `chunk.write` from the writer to the chain. */
export type WriteUp = ReturnType<(typeof writeChunk)["parseUp"]>;
/** Message of `chunk.write` from the chain to the writer. */
export type WriteDown = ReturnType<(typeof writeChunk)["parseDown"]>;

/** How much of a partial chunk a server has. CHUNK_NOT_FOUND if it knows nothing of the write. */
export const statPartial = defineCall(
  "chunk.stat-partial",
  v.object({ writeId: writeIdSchema }),
  v.object({ receivedBytes: lengthSchema }),
);

/** The first bytes of a partial chunk, for a server that joins a chain late. */
export const readPartial = defineStream("chunk.read-partial", {
  open: v.object({ writeId: writeIdSchema, lengthBytes: lengthSchema }),
  up: v.object({}),
  down: v.object({ offsetBytes: lengthSchema, hashes: frameHashesSchema }),
});

/** Opening request of `chunk.read-partial`. */
export type PartialOpen = ReturnType<(typeof readPartial)["parseOpen"]>;
/** One frame of `chunk.read-partial`. */
export type PartialDown = ReturnType<(typeof readPartial)["parseDown"]>;

/** Length and block hashes. The caller checks them against the chunk id. Body: the hashes. */
export const readManifest = defineCall(
  "chunk.read-manifest",
  v.object({ chunkId: chunkIdSchema }),
  v.object({ lengthBytes: lengthSchema }),
);

/**
 * Bytes of a chunk: frames of whole blocks that cover the range, in order. Body: the blocks. The
 * reader verifies them against the manifest; the server does not hash.
 */
export const readChunk = defineStream("chunk.read", {
  open: v.object({
    chunkId: chunkIdSchema,
    offsetBytes: lengthSchema,
    lengthBytes: lengthSchema,
    /** true: the first frame's `hashes` is the whole manifest, which saves a call. */
    withManifest: v.boolean(),
  }),
  up: v.object({}),
  down: v.object({
    offsetBytes: lengthSchema,
    /** The chunk's length. */
    chunkLengthBytes: lengthSchema,
    /** The manifest with the first frame if it was asked for, else empty. */
    hashes: bytesSchema((CHUNK_BYTES_MAX / BLOCK_BYTES) * DIGEST_BYTES),
  }),
});

/** Opening request of `chunk.read`. */
export type ReadOpen = ReturnType<(typeof readChunk)["parseOpen"]>;
/** One frame of `chunk.read`. */
export type ReadDown = ReturnType<(typeof readChunk)["parseDown"]>;

/** A reader saw bytes that do not match. The server looks for itself and quarantines what is rotten. */
export const reportRot = defineCall(
  "chunk.report-rot",
  v.object({ chunkId: chunkIdSchema }),
  v.object({ isRotten: v.boolean() }),
);
