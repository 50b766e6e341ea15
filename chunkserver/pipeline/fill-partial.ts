import { AshlarError } from "../../shared/base/errors.ts";
import { BLOCK_BYTES, DIGEST_BYTES } from "../../shared/base/ids.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import { type PartialDown, readPartial } from "../../shared/protocol/chunk-api.ts";
import { blockCount } from "../../shared/protocol/chunk-id.ts";
import type { ConnectionPool } from "../../shared/wire/connection-pool.ts";
import type { Received } from "../../shared/wire/rpc.ts";
import { firstCorruptBlock } from "../store/verify-blocks.ts";
import type { WriteLease } from "../store/writes.ts";

type PartialFrame = Pick<Received<PartialDown>, "head" | "body">;

/** A server that already has the first bytes of a partial chunk. */
export interface FillSource {
  readonly writeId: string;
  /** Address ("host:port") of the server. */
  readonly address: string;
  /** Length up to which the partial chunk is filled. */
  readonly lengthBytes: number;
}

/**
 * Reads the first bytes of a partial chunk from a server that has them. Used by a server that joins
 * a chain late. Verifies every block. Resolves when all bytes are written (not synced).
 *
 * @throws {AshlarError} CHUNK_NOT_FOUND if the source does not have the bytes; CHUNK_CORRUPT if
 *   they do not match their hashes.
 */
export async function fillPartial(
  deps: { readonly pool: ConnectionPool; readonly hasher: Hasher },
  lease: WriteLease,
  source: FillSource,
  options: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<void> {
  const { writeId, lengthBytes, address } = source;
  const connection = await deps.pool.get(address, options);
  const stream = connection.open(readPartial, { writeId, lengthBytes }, options);
  let nextBytes = 0;
  try {
    while (nextBytes < lengthBytes) {
      const frame = await stream.receive();
      if (frame === null) break;
      try {
        const { offsetBytes, hashes } = frame.head;
        if (!isNext(deps.hasher, frame, nextBytes)) throw badFrame(address);
        nextBytes += frame.body.length;
        if (nextBytes > lease.receivedBytes) await lease.write(offsetBytes, hashes, frame.body);
      } finally {
        frame.release();
      }
    }
  } finally {
    stream.cancel(new AshlarError("CANCELLED", "The partial chunk has been read"));
  }
  if (lease.receivedBytes >= lengthBytes) return;
  throw new AshlarError(
    "CHUNK_NOT_FOUND",
    `Cannot fill a partial chunk from ${address}: expected ${lengthBytes} bytes: current value is ${nextBytes}`,
  );
}

/** Returns whether the frame starts at the block boundary `nextBytes` and matches its hashes. */
function isNext(hasher: Hasher, { head, body }: PartialFrame, nextBytes: number): boolean {
  const { offsetBytes, hashes } = head;
  const isInPlace = offsetBytes === nextBytes && offsetBytes % BLOCK_BYTES === 0;
  if (!isInPlace || body.length === 0) return false;
  if (hashes.length !== blockCount(body.length) * DIGEST_BYTES) return false;
  return firstCorruptBlock(hasher, body, hashes) < 0;
}

function badFrame(address: string): AshlarError {
  return new AshlarError(
    "CHUNK_CORRUPT",
    `Cannot fill a partial chunk from ${address}: expected whole blocks in order that match their hashes`,
  );
}
