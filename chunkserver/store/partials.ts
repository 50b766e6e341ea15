import { AshlarError } from "../../shared/base/errors.ts";
import { CHUNK_BYTES_MAX } from "../../shared/base/ids.ts";
import { SMALL_CHUNK_BYTES_MAX } from "../../shared/protocol/chunk-api.ts";
import { type Extent, isPacked } from "./chunk-record.ts";
import { OpenPartial } from "./open-partial.ts";
import { deleteExtents } from "./replicas.ts";
import type { SpacePurpose } from "./reserve.ts";
import { type SealRequest, sealPartial } from "./seal.ts";
import type { StoreDeps } from "./store-deps.ts";

/**
 * Creates an empty partial chunk with room for `sizeHintBytes` bytes, or for the largest chunk if
 * the size is not known.
 *
 * @throws {AshlarError} INVALID_ARGUMENT, NO_SPACE, DISK_FAILED
 */
export async function createPartial(
  deps: StoreDeps,
  request: { readonly sizeHintBytes: number | null; readonly purpose: SpacePurpose },
): Promise<OpenPartial> {
  deps.health.requireWritable();
  const { sizeHintBytes, purpose } = request;
  const capacityBytes = sizeHintBytes ?? CHUNK_BYTES_MAX;
  if (capacityBytes <= 0 || capacityBytes > CHUNK_BYTES_MAX) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot write a chunk of ${capacityBytes} bytes: expected 1 to ${CHUNK_BYTES_MAX}`,
    );
  }
  const claim = await deps.reserve.claim(capacityBytes, purpose);
  try {
    if (capacityBytes <= SMALL_CHUNK_BYTES_MAX) {
      const allocation = await deps.packed.allocate(capacityBytes);
      return new OpenPartial({ ...allocation, capacityBytes }, claim);
    }
    const file = await deps.files.create("large");
    return new OpenPartial({ file, offsetBytes: 0, capacityBytes }, claim);
  } catch (error) {
    claim.release();
    throw error;
  }
}

/**
 * Seals a partial chunk (see `sealPartial`) and releases it. Its bytes then belong to the record of
 * the chunk. If the chunk exists already, the bytes that it had are deleted.
 */
export async function storePartial(
  deps: StoreDeps,
  partial: OpenPartial,
  request: SealRequest,
): Promise<void> {
  const replaced = await sealPartial(deps, partial, request);
  partial.release();
  releaseAllocation(deps, partial);
  // The chunk is durable even if its old bytes cannot be deleted.
  if (replaced.length > 0) {
    await deleteExtents(deps, replaced).catch((error) => warnUndeleted(deps, error));
  }
}

/** Deletes the bytes of a released partial chunk: its own file, or its part of a packed file. */
export async function discardPartial(deps: StoreDeps, partial: OpenPartial): Promise<void> {
  const extent: Extent = {
    file: partial.allocation.file.name,
    offsetBytes: partial.allocation.offsetBytes,
    lengthBytes: 0,
  };
  releaseAllocation(deps, partial);
  await deleteExtents(deps, [extent]);
}

/** Logs that bytes without a record remain on the disk. The next start moves them to garbage/. */
export function warnUndeleted(deps: StoreDeps, error: unknown): void {
  deps.log.warn("Cannot delete bytes without a record: the next start deletes them", { error });
}

function releaseAllocation(deps: StoreDeps, partial: OpenPartial): void {
  const { name } = partial.allocation.file;
  if (isPacked(name)) deps.packed.release(name);
}
