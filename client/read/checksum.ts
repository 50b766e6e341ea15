import { toHex } from "../../shared/base/bytes.ts";
import type { PathInput } from "../../shared/base/path.ts";
import type { ClientDeps } from "../client-deps.ts";
import { Deadline } from "../deadline.ts";
import { indexAsOf } from "../names/as-of.ts";
import { targetOf } from "../names/target.ts";
import type { ReadFileOptions } from "../options.ts";
import type { Checksum } from "../results.ts";
import { FileReader } from "./file-reader.ts";

/** Computes the BLAKE3 hash of the bytes of a range (as `b3sum` prints it) from verified reads. */
export async function checksum(
  deps: ClientDeps,
  path: PathInput,
  options: ReadFileOptions,
): Promise<Checksum> {
  using deadline = new Deadline(deps.env.clock, "compute the checksum", options);
  const index = await indexAsOf(deps.masters, options);
  const { readMode } = options;
  const reader = await FileReader.open(deps, targetOf(path), { deadline, index, readMode });
  const stream = deps.env.hasher.stream();
  let sizeBytes = 0;
  for await (const slab of reader.slabs({ ...options, deadline })) {
    stream.update(slab.bytes);
    sizeBytes += slab.bytes.length;
    slab.release();
  }
  return {
    blake3: toHex(stream.digest()),
    sizeBytes,
    contentRoot: toHex(reader.attributes.contentRoot),
    version: reader.attributes.version,
  };
}
