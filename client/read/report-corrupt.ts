import type { ChunkId } from "../../shared/base/ids.ts";
import { reportRot } from "../../shared/protocol/chunk-api.ts";
import type { ServerAddress } from "../chunkservers/chunkservers.ts";
import type { ClientDeps } from "../client-deps.ts";
import { Deadline } from "../deadline.ts";

const TIMEOUT_MS = 10_000;

/**
 * Tells a server that its copy of a chunk does not match, so that it looks for itself. Nobody
 * waits for it but the client's end.
 */
export function reportCorruptReplica(
  deps: ClientDeps,
  server: ServerAddress,
  chunkId: ChunkId,
): void {
  const { env, chunkservers, background } = deps;
  env.log.warn("A replica is rotten", { address: server.address, chunkId });
  background.run(async () => {
    using deadline = new Deadline(env.clock, "report rot", { timeoutMs: TIMEOUT_MS });
    const options = { deadline, timeoutMs: TIMEOUT_MS };
    await chunkservers.call(server, reportRot, { chunkId }, options);
  });
}
