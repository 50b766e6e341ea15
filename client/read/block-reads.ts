import { AshlarError, fromErrorData, isAshlarError } from "../../shared/base/errors.ts";
import { DIGEST_BYTES, type ServerId } from "../../shared/base/ids.ts";
import { listenToAbort } from "../../shared/flow/abort-listeners.ts";
import { Deferred } from "../../shared/flow/deferred.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import {
  type BlocksRequest,
  type BlocksResponse,
  READ_BLOCKS_BYTES_MAX,
  READ_MANIFESTS_BYTES_MAX,
  READ_RANGES_MAX,
  readBlocks,
} from "../../shared/protocol/chunk-api.ts";
import { blockCount } from "../../shared/protocol/chunk-id.ts";
import type { Received } from "../../shared/wire/rpc.ts";
import type { Chunkservers, ServerAddress } from "../chunkservers/chunkservers.ts";
import { OldServers } from "../chunkservers/old-servers.ts";
import { asAshlarError } from "../deadline.ts";

/** Calls to one server at the same time. Further ranges are gathered for the next call. */
const CALLS_MAX = 2;
/** Timeout of a call. A reader waits for less, and then asks another server. */
const CALL_TIMEOUT_MS = 60_000;
/** Time for which a server without the method, of an old version, is not asked again. */
const OLD_MS = 10 * 60_000;

/** Blocks of a chunk, and the manifest if it was requested. `release` frees the buffer. */
export type ReceivedBlocks = Received<Omit<BlocksResponse["results"][number], "error">>;

/** A requested range. */
export interface BlocksRange {
  readonly chunkId: BlocksRequest["ranges"][number]["chunkId"];
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /** Length of the chunk if its manifest is requested, else null. */
  readonly manifestOfBytes: number | null;
}

interface WaitingRange {
  readonly range: BlocksRange;
  readonly blocks: Deferred<ReceivedBlocks>;
  isAbandoned: boolean;
}

/** The reads of one server. */
interface ServerReads {
  readonly server: ServerAddress;
  readonly waiting: WaitingRange[];
  callCount: number;
  isScheduled: boolean;
}

/**
 * Small reads of all files of a client. Those that are ready at the same time and go to one server share a
 * call. A read never waits for later ones: only while CALLS_MAX calls to its server are in progress.
 */
export class BlockReads {
  readonly #chunkservers: Chunkservers;
  /** Servers that do not know `chunk.read-blocks`. */
  readonly #oldServers: OldServers;
  readonly #servers = new Map<ServerId, ServerReads>();

  constructor(chunkservers: Chunkservers, clock: Clock) {
    this.#chunkservers = chunkservers;
    this.#oldServers = new OldServers(clock, OLD_MS);
  }

  /** Returns whether the range may be read in this way from the server. */
  canRead(server: ServerAddress, lengthBytes: number): boolean {
    return lengthBytes <= READ_BLOCKS_BYTES_MAX && !this.#oldServers.hasOneOf([server]);
  }

  /**
   * Reads the whole blocks of a range.
   *
   * @throws {AshlarError} UNSUPPORTED by an old version, see `canRead`; CHUNK_NOT_FOUND; the errors of a call;
   *   the reason of the signal
   */
  async read(
    server: ServerAddress,
    range: BlocksRange,
    signal: AbortSignal,
  ): Promise<ReceivedBlocks> {
    signal.throwIfAborted();
    const reads = this.#readsOf(server);
    const waiting: WaitingRange = { range, blocks: new Deferred(), isAbandoned: false };
    reads.waiting.push(waiting);
    this.#schedule(reads);
    const unlisten = listenToAbort(signal, () => {
      waiting.isAbandoned = true; // Blocks that arrive later are released.
      waiting.blocks.reject(signal.reason);
    });
    try {
      return await waiting.blocks.promise;
    } finally {
      unlisten();
    }
  }

  #readsOf(server: ServerAddress): ServerReads {
    const known = this.#servers.get(server.serverId);
    if (known !== undefined && known.server.address === server.address) return known;
    const { serverId, address } = server;
    const reads = {
      ...{ server: { serverId, address }, waiting: [], callCount: 0, isScheduled: false },
    };
    this.#servers.set(serverId, reads);
    return reads;
  }

  /** Starts calls after the current turn, in which more ranges may become ready. */
  #schedule(reads: ServerReads): void {
    if (reads.isScheduled || reads.callCount >= CALLS_MAX) return;
    reads.isScheduled = true;
    Promise.resolve().then(
      () => {
        reads.isScheduled = false;
        while (reads.callCount < CALLS_MAX) {
          const batch = takeBatch(reads.waiting);
          if (batch.length === 0) return;
          this.#call(reads, batch);
        }
      },
      () => {},
    );
  }

  /** Reads a batch. Failures are those of its ranges. */
  #call(reads: ServerReads, batch: readonly WaitingRange[]): void {
    reads.callCount += 1;
    const ranges = batch.map(({ range }) => ({
      chunkId: range.chunkId,
      offsetBytes: range.offsetBytes,
      lengthBytes: range.lengthBytes,
      withManifest: range.manifestOfBytes !== null,
    }));
    this.#chunkservers
      .request(reads.server, readBlocks, { ranges }, CALL_TIMEOUT_MS)
      .then(
        (received) => distribute(batch, received),
        (cause: unknown) => {
          const error = asAshlarError(cause, "read a chunk");
          if (isAshlarError(error, "UNSUPPORTED")) this.#oldServers.add(reads.server.serverId);
          for (const { blocks } of batch) blocks.reject(error);
        },
      )
      .finally(() => {
        reads.callCount -= 1;
        this.#schedule(reads);
      });
  }
}

/** Removes and returns the ranges of the next call. */
function takeBatch(waiting: WaitingRange[]): readonly WaitingRange[] {
  const batch: WaitingRange[] = [];
  let bytes = 0;
  let manifestBytes = 0;
  let taken = 0;
  for (const each of waiting) {
    if (each.isAbandoned) {
      taken += 1;
      continue;
    }
    const { lengthBytes, manifestOfBytes } = each.range;
    bytes += lengthBytes;
    manifestBytes += manifestOfBytes === null ? 0 : blockCount(manifestOfBytes) * DIGEST_BYTES;
    const fits = bytes <= READ_BLOCKS_BYTES_MAX && manifestBytes <= READ_MANIFESTS_BYTES_MAX;
    if (!fits && batch.length > 0) break;
    taken += 1;
    batch.push(each);
    if (batch.length === READ_RANGES_MAX) break;
  }
  waiting.splice(0, taken);
  return batch;
}

/** Gives each range its part of the response. The buffer is released after its last part. */
function distribute(batch: readonly WaitingRange[], received: Received<BlocksResponse>): void {
  const { results } = received.head;
  let owners = 1;
  const release = (): void => {
    owners -= 1;
    if (owners === 0) received.release();
  };
  let offset = 0;
  for (const [position, { blocks, isAbandoned }] of batch.entries()) {
    const result = results[position];
    if (result === undefined) {
      blocks.reject(wrongResponse());
      continue;
    }
    if (result.error !== null) {
      blocks.reject(fromErrorData(result.error as Parameters<typeof fromErrorData>[0]));
      continue;
    }
    const body = received.body.subarray(offset, offset + result.lengthBytes);
    offset += result.lengthBytes;
    if (body.length < result.lengthBytes) blocks.reject(wrongResponse());
    else if (!isAbandoned) {
      owners += 1;
      blocks.resolve({ head: result, body, release });
    }
  }
  release();
}

function wrongResponse(): AshlarError {
  return new AshlarError("PROTOCOL_ERROR", "Cannot use the blocks: some are not in the response");
}
