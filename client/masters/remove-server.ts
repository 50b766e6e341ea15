import { type ChunkId, parseServerId } from "../../shared/base/ids.ts";
import { removeServer as method } from "../../shared/protocol/fleet-api.ts";
import type { ClientDeps } from "../client-deps.ts";
import { Deadline } from "../deadline.ts";
import type { RemoveServerOptions } from "../options.ts";

/** Removes a chunkserver: see `FileSystem.removeServer`. */
export async function removeServer(
  deps: ClientDeps,
  serverId: string,
  options: RemoveServerOptions,
): Promise<void> {
  const id = parseServerId(serverId);
  using deadline = new Deadline(deps.env.clock, "remove a chunkserver", options);
  let checkedTo: ChunkId | null = null;
  let missingCount = 0;
  for (;;) {
    const check: { readonly checkedTo: ChunkId | null; readonly missingCount: number } = {
      checkedTo,
      missingCount,
    };
    const request = { serverId: id, isForced: options.force === true, ...check };
    const reply = await deps.masters.call(method, request, { signal: deadline.signal });
    if (reply.isRemoved) return;
    ({ checkedTo, missingCount } = reply);
  }
}
