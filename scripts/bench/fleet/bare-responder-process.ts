/**
 * The process of a bare responder (`bare-responder.ts`). The first message has the answer; it sends back
 * its address.
 */
import { once } from "node:events";
import { SlabPool } from "../../../shared/flow/slabs.ts";
import { quietLog } from "../../../shared/platform/quiet.ts";
import { SystemClock } from "../../../shared/platform/system-clock.ts";
import { TcpNetwork } from "../../../shared/platform/tcp-network.ts";
import { type Located, locate } from "../../../shared/protocol/namespace-api.ts";
import type { PeerIdentity } from "../../../shared/wire/rpc.ts";
import { RpcServer } from "../../../shared/wire/rpc-server.ts";

const RECEIVE_BYTES_MAX = 64 * 1024 * 1024;

/** The cluster that the responder names to its callers, and the answer to every call. */
export interface BareAnswer {
  readonly clusterId: PeerIdentity["clusterId"];
  readonly located: Located;
}

process.on("disconnect", () => process.exit());
const [answer] = await once(process, "message");
await serve(answer);

async function serve({ clusterId, located }: BareAnswer): Promise<void> {
  const slabs = new SlabPool({ bytesMax: RECEIVE_BYTES_MAX });
  const deps = { network: new TcpNetwork(), clock: new SystemClock(), log: quietLog, slabs };
  const identity: PeerIdentity = { role: "master", clusterId, name: "bare responder" };
  const server = new RpcServer(deps, { identity: () => identity });
  server.onCall(locate, async (request) => {
    request.release();
    return located;
  });
  process.send?.(await server.listen("127.0.0.1:0"));
}
