import type { LocalCluster } from "../../../client/cli/cluster/local-cluster.ts";
import type { ClusterId } from "../../../shared/base/ids.ts";
import { SlabPool } from "../../../shared/flow/slabs.ts";
import { quietLog } from "../../../shared/platform/quiet.ts";
import { SystemClock } from "../../../shared/platform/system-clock.ts";
import { SystemRandom } from "../../../shared/platform/system-random.ts";
import { TcpNetwork } from "../../../shared/platform/tcp-network.ts";
import type { CallMethod } from "../../../shared/protocol/method.ts";
import { listStorageClasses } from "../../../shared/protocol/namespace-api.ts";
import type { Role } from "../../../shared/protocol/roles.ts";
import { ConnectionPool } from "../../../shared/wire/connection-pool.ts";
import { LeaderChannel } from "../../../shared/wire/leader-channel.ts";
import type { Connection } from "../../../shared/wire/rpc.ts";

/** Limit of one call with all its retries: longer than elections and full queues on a busy machine. */
const CALL_TIMEOUT_MS = 120_000;
/** On a busy machine this process may be late to see that it is connected. */
const CONNECT_TIMEOUT_MS = 5_000;
/** Limit of one attempt of a chunkserver, as `chunkserver/server.ts` sets it. */
const CHUNKSERVER_ATTEMPT_MS = 1_000;
const RECEIVE_BYTES_MAX = 256 * 1024 * 1024;

/** The ports that all callers of this process share. */
const DEPS = {
  network: new TcpNetwork(),
  clock: new SystemClock(),
  random: new SystemRandom(),
  log: quietLog,
  slabs: new SlabPool({ bytesMax: RECEIVE_BYTES_MAX }),
};

/**
 * One connection to the leader in a given role, below the client library: requests are sent as they
 * are. Follows a change of leader.
 */
export class WireCaller implements AsyncDisposable {
  readonly #pool: ConnectionPool;
  readonly #channel: LeaderChannel;

  constructor(cluster: Pick<LocalCluster, "clusterId" | "masters">, role: Role, name: string) {
    const identity = { role, clusterId: cluster.clusterId as ClusterId, name };
    this.#pool = new ConnectionPool(DEPS, { identity: () => identity, role: "master" });
    this.#channel = new LeaderChannel({
      ...DEPS,
      pool: this.#pool,
      addresses: () => cluster.masters,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      ...(role === "chunkserver" ? { attemptTimeoutMs: CHUNKSERVER_ATTEMPT_MS } : {}),
    });
  }

  get leaderAddress(): string | null {
    return this.#channel.leaderAddress;
  }

  /** Calls the leader. Repeats the call after a failed attempt: it must be idempotent. */
  async call<Request, Response>(
    method: CallMethod<Request, Response>,
    request: Request,
    timeoutMs: number = CALL_TIMEOUT_MS,
  ): Promise<Response> {
    const received = await this.#channel.call(method, request, { timeoutMs, idempotent: true });
    received.release();
    return received.head;
  }

  /** Returns the connection to the leader, for streams. */
  async connection(): Promise<Connection> {
    // Only a call to the leader finds it: without one the channel returns any master.
    await this.call(listStorageClasses, { read: { kind: "linearizable" } });
    return this.#channel.connection({ timeoutMs: CALL_TIMEOUT_MS });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#channel.close();
    await this.#pool.close(0);
  }
}
