import { AshlarError } from "../../shared/base/errors.ts";
import { BLOCK_BYTES, DIGEST_BYTES } from "../../shared/base/ids.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import { readPartial } from "../../shared/protocol/chunk-api.ts";
import { blockCount } from "../../shared/protocol/chunk-id.ts";
import type { ConnectionPool } from "../../shared/wire/connection-pool.ts";
import type { Received } from "../../shared/wire/rpc.ts";
import { firstRottenBlock } from "../store/verify-blocks.ts";
import type { WriteLease } from "../store/writes.ts";

type PartialFrame = Pick<Received<ReturnType<(typeof readPartial)["parseDown"]>>, "head" | "body">;

export interface FillSource {
  readonly writeId: string;
  /** "host:port" of a server that has the bytes. */
  readonly address: string;
  /** The partial chunk is filled up to here. */
  readonly lengthBytes: number;
}

/**
 * Pulls the first bytes of a partial chunk from a server that has them, for a server that joins a
 * chain late. Every block is verified; resolves when all are written (not synced).
 *
 * @throws {AshlarError} CHUNK_NOT_FOUND if the source does not have them; CHUNK_CORRUPT.
 */
export async function fillPartial(
  world: { readonly pool: ConnectionPool; readonly hasher: Hasher },
  lease: WriteLease,
  source: FillSource,
  options: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<void> {
  const { writeId, lengthBytes, address } = source;
  const connection = await world.pool.get(address, options);
  const stream = connection.open(readPartial, { writeId, lengthBytes }, options);
  let nextBytes = 0;
  try {
    while (nextBytes < lengthBytes) {
      const frame = await stream.receive();
      if (frame === null) break;
      try {
        const { offsetBytes, hashes } = frame.head;
        if (!isNext(world.hasher, frame, nextBytes)) throw badFrame(address);
        nextBytes += frame.body.length;
        if (nextBytes > lease.receivedBytes) await lease.write(offsetBytes, hashes, frame.body);
      } finally {
        frame.release();
      }
    }
  } finally {
    stream.cancel(new AshlarError("CANCELLED", "The partial chunk was read"));
  }
  if (lease.receivedBytes >= lengthBytes) return;
  throw new AshlarError(
    "CHUNK_NOT_FOUND",
    `Cannot fill a partial chunk from ${address}: expected ${lengthBytes} bytes: got ${nextBytes}`,
  );
}

/** Whether the frame holds what it says, from the block boundary `nextBytes` on. */
function isNext(hasher: Hasher, { head, body }: PartialFrame, nextBytes: number): boolean {
  const { offsetBytes, hashes } = head;
  const isInPlace = offsetBytes === nextBytes && offsetBytes % BLOCK_BYTES === 0;
  if (!isInPlace || body.length === 0) return false;
  if (hashes.length !== blockCount(body.length) * DIGEST_BYTES) return false;
  return firstRottenBlock(hasher, body, hashes) < 0;
}

function badFrame(address: string): AshlarError {
  return new AshlarError(
    "CHUNK_CORRUPT",
    `Cannot fill a partial chunk from ${address}: its blocks do not match their hashes or places`,
  );
}
