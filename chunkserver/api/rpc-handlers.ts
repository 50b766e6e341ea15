import { AshlarError } from "../../shared/base/errors.ts";
import * as api from "../../shared/protocol/chunk-api.ts";
import { withBody } from "../../shared/wire/reply.ts";
import type { CallContext, Handlers } from "../../shared/wire/rpc.ts";
import { putSmall } from "../pipeline/put-small.ts";
import { readBlocks } from "../pipeline/read-blocks.ts";
import { type ReceiveDeps, receiveChunk } from "../pipeline/receive-chunk.ts";
import { type SendDeps, sendChunk, sendPartial } from "../pipeline/send-chunk.ts";
import type { ChunkStore } from "../store/chunk-store.ts";

/** Dependencies of the RPC handlers. */
export interface HandlerDeps {
  readonly store: ChunkStore;
  readonly receive: ReceiveDeps;
  readonly send: SendDeps;
}

/** Registers a handler for each method of `shared/protocol/chunk-api`. */
export function registerChunkHandlers(handlers: Handlers, deps: HandlerDeps): void {
  const { store } = deps;
  handlers.onStream(api.writeChunk, (request, stream, context) =>
    receiveChunk(deps.receive, request, stream, context),
  );
  handlers.onCall(api.putSmall, (request, context) => putSmall(deps.receive, request, context));
  handlers.onStream(api.readChunk, (request, stream, context) =>
    sendChunk(deps.send, request, stream, context),
  );
  handlers.onStream(api.readPartial, (request, stream, context) =>
    sendPartial(deps.send, request, stream, context),
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
  handlers.onCall(api.readBlocks, (request, context) => readBlocks(deps.send, request, context));
  handlers.onCall(api.reportCorruptChunk, async (request, context) => {
    request.release();
    // The wire names `chunk.report-rot` and `isRotten` are part of the protocol. The code says
    // "corrupt".
    return { isRotten: await isCorrupt(deps, request.head.chunkId, context) };
  });
}

/** Verifies the replica on this disk. The report of a reader alone is not trusted. */
async function isCorrupt(
  deps: HandlerDeps,
  chunkId: Parameters<ChunkStore["verify"]>[0],
  context: CallContext,
): Promise<boolean> {
  const { peerAddress, signal } = context;
  // Not that of `ReadMemory.of`: large reads must not delay the report of a client either.
  const slab = await deps.send.memory.servers.acquire(peerAddress, api.FRAME_BYTES_MAX, signal);
  try {
    const result = await deps.store.verify(chunkId, slab.bytes, async () => {
      if (!context.signal.aborted) return;
      throw new AshlarError("CANCELLED", "Cannot verify the chunk: the caller closed the request");
    });
    return result === "corrupt";
  } finally {
    slab.release();
  }
}
