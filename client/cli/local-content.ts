import { equalBytes } from "../../shared/base/bytes.ts";
import { createHasher } from "../../shared/platform/hasher.ts";
import type { FileAttributes } from "../../shared/protocol/attributes.ts";
import { chunkIdOf, contentRootOf, hashBlocks } from "../../shared/protocol/chunk-id.ts";
import { chunkIdBytes } from "../../shared/protocol/intent.ts";
import { statLocal } from "./local-files.ts";
import type { LocalPath } from "./local-path.ts";
import { LocalSource } from "./local-source.ts";

/**
 * Returns whether a local file has the content of a file in the cluster, for --resume. It reads the
 * local file and compares the content roots.
 */
export async function hasSameContent(
  path: LocalPath,
  attributes: FileAttributes,
): Promise<boolean> {
  const { size } = await statLocal(path);
  if (size !== attributes.sizeBytes) return false;
  const { hasher } = createHasher();
  const { chunkSizeBytes } = attributes;
  const chunkIds: Uint8Array[] = [];
  let hashes: Uint8Array[] = [];
  let chunkBytes = 0;
  const endChunk = (): void => {
    chunkIds.push(chunkIdBytes(chunkIdOf(hasher, chunkBytes, Buffer.concat(hashes))));
    hashes = [];
    chunkBytes = 0;
  };
  // The source yields 1 MiB at a time, which divides every chunk size.
  await using source = await LocalSource.open(path);
  for await (const bytes of source.parts()) {
    hashes.push(hashBlocks(hasher, bytes));
    chunkBytes += bytes.length;
    if (chunkBytes === chunkSizeBytes) endChunk();
  }
  if (chunkBytes > 0) endChunk();
  const root = contentRootOf(hasher, { sizeBytes: size, chunkSizeBytes }, chunkIds);
  return equalBytes(root, attributes.contentRoot);
}
