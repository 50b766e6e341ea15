import type { ChunkId } from "../../shared/base/ids.ts";
import { reportCorruptChunk } from "../../shared/protocol/chunk-api.ts";
import type { ServerAddress } from "../chunkservers/chunkservers.ts";
import type { ClientDeps } from "../client-deps.ts";
import { Deadline } from "../deadline.ts";

const TIMEOUT_MS = 10_000;

/**
 * Reports a corrupt replica to its server, which then verifies the replica itself. Runs in the
 * background: the read does not wait for it.
 */
export function reportCorruptReplica(
  deps: ClientDeps,
  server: ServerAddress,
  chunkId: ChunkId,
): void {
  const { env, chunkservers, background } = deps;
  env.log.warn("A replica is corrupt", { address: server.address, chunkId });
  background.run(async () => {
    using deadline = new Deadline(env.clock, "report a corrupt replica", {
      timeoutMs: TIMEOUT_MS,
    });
    const options = { deadline, timeoutMs: TIMEOUT_MS };
    await chunkservers.call(server, reportCorruptChunk, { chunkId }, options);
  });
}
