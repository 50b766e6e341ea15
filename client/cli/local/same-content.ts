import { createHasher } from "../../../shared/platform/hasher.ts";
import type { FileAttributes } from "../../../shared/protocol/attributes.ts";
import { chunkIdOf, hashBlocks, isContentRoot } from "../../../shared/protocol/chunk-id.ts";
import { chunkIdBytes } from "../../../shared/protocol/intent.ts";
import { ZeroBlocks } from "../../zero-blocks.ts";
import type { LocalPath } from "../local-path.ts";
import { statLocal } from "./local-error.ts";
import { LocalSource } from "./local-source.ts";

/**
 * Returns whether a local file has the content of a file in the cluster, for --resume. It reads the
 * local file and compares the content roots. A special file is not read: its content is another.
 */
export async function hasSameContent(
  path: LocalPath,
  attributes: FileAttributes,
  signal: AbortSignal,
): Promise<boolean> {
  const stats = await statLocal(path);
  const sizeBytes = Number(stats.size);
  if (!stats.isFile() || sizeBytes !== attributes.sizeBytes) return false;
  const { hasher } = createHasher();
  const zeroBlocks = new ZeroBlocks(hasher);
  const { chunkSizeBytes } = attributes;
  const chunkIds: Uint8Array[] = [];
  let hashes: Uint8Array[] = [];
  let chunkBytes = 0;
  let isZero = true;
  const endChunk = (): void => {
    const id = isZero
      ? zeroBlocks.chunkId(chunkBytes)
      : chunkIdOf(hasher, chunkBytes, Buffer.concat(hashes));
    chunkIds.push(chunkIdBytes(id));
    hashes = [];
    chunkBytes = 0;
    isZero = true;
  };
  // The source yields 1 MiB at a time, which divides every chunk size.
  await using source = await LocalSource.open(path, { signal, isRegularOnly: true });
  for await (const bytes of source.parts()) {
    signal.throwIfAborted();
    const isZeroPart = zeroBlocks.isZero(bytes);
    hashes.push(isZeroPart ? zeroBlocks.hashes(bytes.length) : hashBlocks(hasher, bytes));
    isZero &&= isZeroPart;
    chunkBytes += bytes.length;
    if (chunkBytes === chunkSizeBytes) endChunk();
  }
  if (chunkBytes > 0) endChunk();
  const file = { sizeBytes, chunkSizeBytes };
  return isContentRoot(hasher, file, { chunkIds, root: attributes.contentRoot });
}
