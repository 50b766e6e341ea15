import { AshlarError } from "../../shared/base/errors.ts";
import type { SlabPool } from "../../shared/flow/slabs.ts";
import * as api from "../../shared/protocol/chunk-api.ts";
import { withBody } from "../../shared/wire/reply.ts";
import type { CallContext, Handlers } from "../../shared/wire/rpc.ts";
import { type ReceiveWorld, receiveChunk } from "../pipeline/receive-chunk.ts";
import { type SendWorld, sendChunk, sendPartial } from "../pipeline/send-chunk.ts";
import type { ChunkStore } from "../store/chunk-store.ts";

export interface HandlerParts {
  readonly store: ChunkStore;
  readonly receive: ReceiveWorld;
  readonly send: SendWorld;
  /** Buffers for reads of whole chunks. */
  readonly slabs: SlabPool;
}

/** Serves `shared/protocol/chunk-api`. */
export function registerChunkHandlers(handlers: Handlers, parts: HandlerParts): void {
  const { store } = parts;
  handlers.onStream(api.writeChunk, (request, stream, context) =>
    receiveChunk(parts.receive, request, stream, context),
  );
  handlers.onStream(api.readChunk, (request, stream, context) =>
    sendChunk(parts.send, request, stream, context),
  );
  handlers.onStream(api.readPartial, (request, stream, context) =>
    sendPartial(parts.send, request, stream, context),
  );
  handlers.onCall(api.statPartial, async (request) => {
    request.release();
    const { writeId } = request.head;
    const receivedBytes = store.receivedBytes(writeId);
    if (receivedBytes !== null) return { receivedBytes };
    throw new AshlarError("CHUNK_NOT_FOUND", `Cannot find the write ${writeId} on this server`);
  });
  handlers.onCall(api.readManifest, async (request) => {
    request.release();
    const { lengthBytes, hashes } = store.manifest(request.head.chunkId);
    return withBody({ lengthBytes }, hashes);
  });
  handlers.onCall(api.reportRot, async (request, context) => {
    request.release();
    return { isRotten: await isRotten(parts, request.head.chunkId, context) };
  });
}

/** The word of a reader is no proof: this server looks for itself. */
async function isRotten(
  parts: HandlerParts,
  chunkId: Parameters<ChunkStore["examine"]>[0],
  context: CallContext,
): Promise<boolean> {
  const slab = await parts.slabs.acquire(api.FRAME_BYTES_MAX, context.signal);
  try {
    const verdict = await parts.store.examine(chunkId, slab.bytes, async () => {
      if (!context.signal.aborted) return;
      throw new AshlarError("CANCELLED", "Nobody waits for the examination any more");
    });
    return verdict === "rotten";
  } finally {
    slab.release();
  }
}
