import * as v from "valibot";
import { BLOCK_BYTES, CHUNK_BYTES_MAX, DIGEST_BYTES } from "../base/ids.ts";
import { CHAIN_SERVERS_MAX, intentSchema, receiptSchema } from "./intent.ts";
import { defineCall, defineStream } from "./method.ts";
import { BY_CHUNK_USERS } from "./roles.ts";
import {
  addressSchema,
  bytesSchema,
  chunkIdSchema,
  countSchema,
  serverIdSchema,
  shortTextSchema,
  writeIdSchema,
} from "./schemas.ts";

/* The methods of a chunkserver, for clients and other chunkservers. */

/** Largest body of one `blocks` message. */
export const FRAME_BYTES_MAX = 2 * 1024 * 1024;
const lengthSchema = v.pipe(countSchema, v.maxValue(CHUNK_BYTES_MAX));
const frameHashesSchema = bytesSchema((FRAME_BYTES_MAX / BLOCK_BYTES) * DIGEST_BYTES);

const errorDataSchema = v.object({
  code: shortTextSchema,
  message: v.pipe(v.string(), v.maxLength(4000)),
});

/**
 * Writes one chunk through a chain of servers. Every server checks each block against its hash,
 * forwards the frame, writes it, and acknowledges the bytes that it and all servers after it have.
 *
 * After a failure, the write continues under the same `writeId` with a chain of other servers: the
 * surviving servers keep their partial chunk for the intent's lifetime.
 */
export const writeChunk = defineStream("chunk.write", BY_CHUNK_USERS, {
  open: v.object({
    writeId: writeIdSchema,
    intent: intentSchema,
    /**
     * Position of the addressed server in `intent.servers`. The chain continues with the next one.
     */
    position: countSchema,
    /**
     * Length of the chunk. Absent if it is not known yet. A small chunk is written to a packed
     * extent.
     */
    sizeHintBytes: v.nullable(lengthSchema),
    /** The stream continues at this offset, a block boundary. 0 for a new chunk. */
    resumeAtBytes: lengthSchema,
    /**
     * Address of a server that has the bytes before `resumeAtBytes`. Servers of the chain without
     * these bytes copy them from there.
     */
    fillFrom: v.nullable(addressSchema),
    /**
     * Whether the writer understands `waiting`. Then a server without memory for the write lets it wait.
     * Otherwise, and in old versions, it refuses the write with OVERLOADED.
     */
    waits: v.optional(v.boolean(), false),
  }),
  up: v.variant("kind", [
    /** Body: whole blocks from `offsetBytes`. The last block of the chunk may be shorter. */
    v.object({ kind: v.literal("blocks"), offsetBytes: lengthSchema, hashes: frameHashesSchema }),
    v.object({ kind: v.literal("seal"), chunkId: chunkIdSchema, lengthBytes: lengthSchema }),
  ]),
  down: v.variant("kind", [
    /**
     * The write waits for memory on `serverId`. Repeated every 2 s, until `opened`. The writer sends no
     * blocks, except those of a chunk of at most 256 KiB, which it may have sent already.
     */
    v.object({ kind: v.literal("waiting"), serverId: serverIdSchema }),
    /** This server and all after it are ready. */
    v.object({ kind: v.literal("opened") }),
    /** This server and all after it have written (not synced) the bytes before `bytes`. */
    v.object({ kind: v.literal("ack"), bytes: lengthSchema }),
    /**
     * The chunk is durable on this server and all after it. Their receipts, in the order of the
     * chain.
     */
    v.object({ kind: v.literal("sealed"), receipts: v.array(receiptSchema) }),
    /** The chain failed at `serverId`. The stream ends after this message. */
    v.object({ kind: v.literal("failed"), serverId: serverIdSchema, error: errorDataSchema }),
  ]),
});

/** Opening request of `chunk.write`. */
export type WriteOpen = ReturnType<(typeof writeChunk)["parseOpen"]>;
/** Message of `chunk.write` from the writer to the chain. */
export type WriteUp = ReturnType<(typeof writeChunk)["parseUp"]>;
/** Message of `chunk.write` from the chain to the writer. */
export type WriteDown = ReturnType<(typeof writeChunk)["parseDown"]>;

/** Largest chunk of `chunk.put-small`, and of those that share extent files. */
export const SMALL_CHUNK_BYTES_MAX = 1024 * 1024;
/** Most chunks in one `chunk.put-small`. */
export const SMALL_CHUNKS_MAX = 64;

/**
 * Stores a group of small chunks through a chain of servers. Body: the bytes of the chunks one after
 * another, at most FRAME_BYTES_MAX. Every server checks them against their hashes and ids, sends the same
 * body to the next server while it stores the group, and answers when both are durable.
 *
 * The group fails as a whole. Servers may then have some of its chunks, which expire with the intent.
 */
export const putSmall = defineCall(
  "chunk.put-small",
  BY_CHUNK_USERS,
  v.object({
    /** One intent for all chunks: its signature names no chunk. */
    intent: intentSchema,
    /**
     * Position of the addressed server in `intent.servers`. The chain continues with the next one.
     */
    position: countSchema,
    chunks: v.pipe(
      v.array(
        v.object({
          chunkId: chunkIdSchema,
          lengthBytes: v.pipe(countSchema, v.minValue(1), v.maxValue(SMALL_CHUNK_BYTES_MAX)),
          /** Of the blocks of the chunk, 32 bytes each. */
          hashes: bytesSchema((SMALL_CHUNK_BYTES_MAX / BLOCK_BYTES) * DIGEST_BYTES),
        }),
      ),
      v.minLength(1),
      v.maxLength(SMALL_CHUNKS_MAX),
    ),
  }),
  v.variant("kind", [
    /**
     * All chunks are durable on this server and all after it. For each chunk, the receipts of these servers in
     * the order of the chain, 32 bytes each.
     */
    v.object({
      kind: v.literal("stored"),
      receipts: v.array(bytesSchema(CHAIN_SERVERS_MAX * DIGEST_BYTES)),
    }),
    /** The chain failed at `serverId`. */
    v.object({ kind: v.literal("failed"), serverId: serverIdSchema, error: errorDataSchema }),
  ]),
);

/** Request of `chunk.put-small`. */
export type PutSmallRequest = ReturnType<(typeof putSmall)["parseRequest"]>;
/** Response of `chunk.put-small`. */
export type PutSmallResponse = ReturnType<(typeof putSmall)["parseResponse"]>;

/**
 * Returns how much of a partial chunk a server has. CHUNK_NOT_FOUND if the write is unknown to it.
 */
export const statPartial = defineCall(
  "chunk.stat-partial",
  BY_CHUNK_USERS,
  v.object({ writeId: writeIdSchema }),
  v.object({ receivedBytes: lengthSchema }),
);

/** Sends the first bytes of a partial chunk to a server that joins a chain late. */
export const readPartial = defineStream("chunk.read-partial", BY_CHUNK_USERS, {
  open: v.object({ writeId: writeIdSchema, lengthBytes: lengthSchema }),
  up: v.object({}),
  down: v.object({ offsetBytes: lengthSchema, hashes: frameHashesSchema }),
});

/** Opening request of `chunk.read-partial`. */
export type PartialOpen = ReturnType<(typeof readPartial)["parseOpen"]>;
/** One frame of `chunk.read-partial`. */
export type PartialDown = ReturnType<(typeof readPartial)["parseDown"]>;

/** Returns the length of a chunk and, as the body, its block hashes. The caller checks them. */
export const readManifest = defineCall(
  "chunk.read-manifest",
  BY_CHUNK_USERS,
  v.object({ chunkId: chunkIdSchema }),
  v.object({ lengthBytes: lengthSchema }),
);

/**
 * Sends a range of a chunk in frames of whole blocks, in order. Body: the blocks. The reader
 * verifies them against the manifest. The server does not hash them.
 */
export const readChunk = defineStream("chunk.read", BY_CHUNK_USERS, {
  open: v.object({
    chunkId: chunkIdSchema,
    offsetBytes: lengthSchema,
    lengthBytes: lengthSchema,
    /** Whether the first frame contains the whole manifest, which saves a call. */
    withManifest: v.boolean(),
  }),
  up: v.object({}),
  down: v.object({
    offsetBytes: lengthSchema,
    /** Length of the chunk. */
    chunkLengthBytes: lengthSchema,
    /** The manifest in the first frame if it was requested, else empty. */
    hashes: bytesSchema((CHUNK_BYTES_MAX / BLOCK_BYTES) * DIGEST_BYTES),
  }),
});

/** Opening request of `chunk.read`. */
export type ReadOpen = ReturnType<(typeof readChunk)["parseOpen"]>;
/** One frame of `chunk.read`. */
export type ReadDown = ReturnType<(typeof readChunk)["parseDown"]>;

/** Most ranges of one `chunk.read-blocks`. */
export const READ_RANGES_MAX = 64;
/** Most bytes of the blocks of one `chunk.read-blocks`, and of one of its ranges. */
export const READ_BLOCKS_BYTES_MAX = 1024 * 1024;
/** Most bytes of the manifests of one `chunk.read-blocks`. */
export const READ_MANIFESTS_BYTES_MAX = 256 * 1024;

/**
 * Returns some whole blocks of some chunks: for small reads, many of them in one call.
 *
 * The body of the response has the blocks of the ranges without an error, one range after another. The
 * reader verifies them against the manifests. The server does not hash them.
 */
export const readBlocks = defineCall(
  "chunk.read-blocks",
  BY_CHUNK_USERS,
  v.object({
    ranges: v.pipe(
      v.array(
        v.object({
          chunkId: chunkIdSchema,
          /** The range is extended to whole blocks, up to the end of the chunk. */
          offsetBytes: lengthSchema,
          lengthBytes: v.pipe(countSchema, v.minValue(1), v.maxValue(READ_BLOCKS_BYTES_MAX)),
          /** Whether the result contains the whole manifest. */
          withManifest: v.boolean(),
        }),
      ),
      v.minLength(1),
      v.maxLength(READ_RANGES_MAX),
    ),
  }),
  v.object({
    /** One for each range, in the order of the request. */
    results: v.pipe(
      v.array(
        v.object({
          /** Why the range was not read: its blocks are not in the body. */
          error: v.nullable(errorDataSchema),
          /** Offset in the chunk and length of the blocks in the body. */
          offsetBytes: lengthSchema,
          lengthBytes: lengthSchema,
          /** Length of the chunk. */
          chunkLengthBytes: lengthSchema,
          /** The manifest if it was requested, else empty. */
          hashes: bytesSchema(READ_MANIFESTS_BYTES_MAX),
        }),
      ),
      v.maxLength(READ_RANGES_MAX),
    ),
  }),
);

/** Request of `chunk.read-blocks`. */
export type BlocksRequest = ReturnType<(typeof readBlocks)["parseRequest"]>;
/** Response of `chunk.read-blocks`. */
export type BlocksResponse = ReturnType<(typeof readBlocks)["parseResponse"]>;

/**
 * Reports that a reader received bytes that do not match their hash. The server verifies its
 * replica and quarantines it if it is corrupt. The method and its field keep their old wire names.
 */
export const reportCorruptChunk = defineCall(
  "chunk.report-rot",
  BY_CHUNK_USERS,
  v.object({ chunkId: chunkIdSchema }),
  v.object({ isRotten: v.boolean() }),
);
