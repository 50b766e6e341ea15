import { assert } from "../../shared/base/assert.ts";
import { toHex } from "../../shared/base/bytes.ts";
import { SlabPool } from "../../shared/flow/slabs.ts";
import { SMALL_CHUNK_BYTES_MAX } from "../../shared/protocol/chunk-api.ts";
import { OldServers } from "../chunkservers/old-servers.ts";
import { type Deadline, untilAborted } from "../deadline.ts";
import type { Placement } from "./allocate-intents.ts";
import type { SealedChunk } from "./chunk-writer.ts";
import { GatheredChunk } from "./gathered-chunk.ts";
import { GroupQueue } from "./group-queue.ts";
import type { GroupDeps } from "./group-write.ts";

/** Placements whose intents are kept. */
const PLACEMENTS_MAX = 1_024;
/** Memory of the bodies of all calls in progress. */
const BODY_BYTES_MAX = 32 * 1024 * 1024;
/** Time for which a server that does not know `chunk.put-small` gets chunks with `chunk.write`. */
const OLD_MS = 5 * 60_000;

/** A small chunk to write. */
export interface SmallWrite {
  /** Valid until the promise of `put` is settled. */
  readonly bytes: Uint8Array;
  readonly placement: Placement;
  /** Whether other chunks with the same placement may use the same intent. */
  readonly sharesIntents: boolean;
  /** Ends the wait of this chunk. */
  readonly deadline: Deadline;
}

/**
 * Writes small chunks of all files of a client in groups: chunks with the same placement that are ready in one
 * turn travel in one call. While calls are in progress, further chunks gather (group commit). A lone chunk never
 * waits for others.
 *
 * The callers bound the waiting chunks by the memory of their bytes (`UploadSlabs`).
 */
export class SmallChunks {
  readonly #deps: GroupDeps;
  /** By placement. The one that was used last is last. */
  readonly #queues = new Map<string, GroupQueue>();

  constructor(deps: Omit<GroupDeps, "bodies" | "oldServers">) {
    const bodies = new SlabPool({ bytesMax: BODY_BYTES_MAX, idleBytesMax: BODY_BYTES_MAX / 4 });
    this.#deps = { ...deps, bodies, oldServers: new OldServers(deps.env.clock, OLD_MS) };
  }

  /**
   * Resolves when the chunk is durable on all servers of a chain. Null if it must be written with `chunk.write`:
   * a server is of an old version, or several groups with the chunk have failed.
   *
   * @throws {AshlarError} TOO_FEW_CHUNKSERVERS and the other errors of an allocation; the reason of the
   *   deadline
   */
  async put({
    bytes,
    placement,
    sharesIntents,
    deadline,
  }: SmallWrite): Promise<SealedChunk | null> {
    assert(bytes.length > 0 && bytes.length <= SMALL_CHUNK_BYTES_MAX, "a small chunk is not empty");
    const chunk = new GatheredChunk(this.#deps.env.hasher, bytes);
    const queue = sharesIntents ? this.#queueOf(placement) : new GroupQueue(this.#deps, placement);
    queue.add(chunk);
    try {
      return await untilAborted(chunk.result, deadline.signal);
    } finally {
      chunk.abandon(); // Its bytes are no longer valid.
    }
  }

  #queueOf(placement: Placement): GroupQueue {
    const key = keyOf(placement);
    const queue = this.#queues.get(key) ?? new GroupQueue(this.#deps, placement);
    this.#queues.delete(key);
    this.#queues.set(key, queue);
    if (this.#queues.size > PLACEMENTS_MAX) {
      // A queue with waiting chunks works without a place in the map, too.
      for (const oldest of this.#queues.keys()) {
        this.#queues.delete(oldest);
        break;
      }
    }
    return queue;
  }
}

function keyOf({ target, storageClass, chunkSizeBytes }: Placement): string {
  if (storageClass !== undefined) return `${chunkSizeBytes} class ${storageClass}`;
  const { inode = 0, path } = target;
  return `${chunkSizeBytes} target ${inode} ${path === undefined ? "" : toHex(path)}`;
}
