import { readFile } from "node:fs/promises";
import type { LocalCluster } from "../../client/cli/cluster/local-cluster.ts";
import { runningPid } from "../../client/cli/cluster/node-process.ts";
import { isAshlarError } from "../../shared/base/errors.ts";
import type { ClusterId } from "../../shared/base/ids.ts";
import { SlabPool } from "../../shared/flow/slabs.ts";
import { readProcessStatus } from "../../shared/platform/procfs.ts";
import { quietLog } from "../../shared/platform/quiet.ts";
import { SystemClock } from "../../shared/platform/system-clock.ts";
import { TcpNetwork } from "../../shared/platform/tcp-network.ts";
import { memberStatus } from "../../shared/protocol/fleet-api.ts";
import { ANY_ROLE, type Role } from "../../shared/protocol/roles.ts";
import { connect, type WireDeps } from "../../shared/wire/connect.ts";
import type { Connection } from "../../shared/wire/rpc.ts";

const CONNECT_TIMEOUT_MS = 10_000;
/** A node that answers nothing for this long is a fault. */
const PROBE_TIMEOUT_MS = 30_000;
const RECEIVE_BYTES_MAX = 256 * 1024 * 1024;
/** `level` of pino for errors. */
const LEVEL_ERROR = 50;
const TAIL_LINES = 15;

/** A node of the cluster and its process at the start of the run. */
export interface FuzzedNode {
  readonly name: string;
  readonly role: "master" | "chunkserver";
  readonly address: string;
  readonly pid: number;
}

/** The nodes of a cluster, and connections to each of them in each role. */
export class FuzzedNodes implements AsyncDisposable {
  readonly all: readonly FuzzedNode[];
  readonly #cluster: LocalCluster;
  readonly #connections = new Map<string, Promise<Connection>>();
  readonly #deps: WireDeps = {
    ...{ network: new TcpNetwork(), clock: new SystemClock(), log: quietLog },
    slabs: new SlabPool({ bytesMax: RECEIVE_BYTES_MAX }),
  };

  private constructor(cluster: LocalCluster, all: readonly FuzzedNode[]) {
    this.#cluster = cluster;
    this.all = all;
  }

  static async of(cluster: LocalCluster): Promise<FuzzedNodes> {
    const states = await cluster.states();
    return new FuzzedNodes(
      cluster,
      states.map(({ name, role, address, pid }) => ({ name, role, address, pid: pid ?? 0 })),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const connections = await Promise.allSettled(this.#connections.values());
    for (const connection of connections) {
      if (connection.status === "fulfilled") await connection.value.close(0);
    }
  }

  /**
   * Returns the connection with number `choice` of those that a method may be called on. One in ten
   * is to any node, one in ten in any role.
   */
  async connection(
    method: { readonly name: string; readonly callers: readonly Role[] },
    choice: number,
    leaderAddress: string,
  ): Promise<{ node: FuzzedNode; connection: Connection }> {
    const isOfChunkserver = method.name.startsWith("chunk.");
    const owners = this.all.filter(({ role }) => (role === "chunkserver") === isOfChunkserver);
    const leader = owners.filter(({ address }) => address === leaderAddress);
    // The leader has as many places as all other masters.
    const candidates = choice % 10 === 0 ? this.all : [...owners, ...leader];
    const roles = choice % 10 === 1 ? ANY_ROLE : method.callers;
    const node = elementOf(candidates, Math.floor(choice / 10));
    const role = elementOf(roles, Math.floor(choice / 100));
    return { node, connection: await this.connectionTo(node.address, role) };
  }

  /** Calls every node. Rejects if one does not answer: a request keeps it busy. */
  async probe(): Promise<void> {
    for (const { name, address } of this.all) {
      try {
        const connection = await this.connectionTo(address, "client");
        (await connection.call(memberStatus, {}, { timeoutMs: PROBE_TIMEOUT_MS })).release();
      } catch (error) {
        if (isAshlarError(error, "UNSUPPORTED")) continue; // A chunkserver answers so.
        throw new Error(`${name} does not answer: ${(error as Error).message}`);
      }
    }
  }

  /** Returns an open connection to an address in a role. */
  async connectionTo(address: string, role: Role): Promise<Connection> {
    const key = `${address} ${role}`;
    const open = await this.#connections.get(key)?.catch(() => null);
    if (open?.isOpen === true) return open;
    const clusterId = this.#cluster.clusterId as ClusterId;
    const identity = { role, clusterId, name: "fuzz" };
    const opening = connect(this.#deps, address, { identity, timeoutMs: CONNECT_TIMEOUT_MS });
    this.#connections.set(key, opening);
    return opening;
  }

  /** Returns the nodes whose process has ended, each with the end of its log. */
  async deaths(): Promise<string[]> {
    const found: string[] = [];
    for (const node of this.all) {
      const pid = await runningPid(this.#cluster.directory, this.#cluster.node(node.name));
      if (pid === node.pid) continue;
      found.push(
        `${node.name} has ended:\n${(await this.#logOf(node.name)).slice(-TAIL_LINES).join("\n")}`,
      );
    }
    return found;
  }

  /** Returns the log lines of faults: unexpected errors of handlers. */
  async loggedFaults(): Promise<string[]> {
    const found: string[] = [];
    for (const { name } of this.all) {
      for (const line of await this.#logOf(name)) {
        const isFault = line.includes('"A handler failed"') && levelOf(line) >= LEVEL_ERROR;
        if (isFault) found.push(`${name}: ${line}`);
      }
    }
    return found;
  }

  /** Returns the anonymous memory of each process in bytes, by node. */
  memory(): Map<string, number> {
    return new Map(
      this.all.map(({ name, pid }) => [name, readProcessStatus(pid, "RssAnon") ?? Number.NaN]),
    );
  }

  async #logOf(name: string): Promise<string[]> {
    const states = await this.#cluster.states();
    const path = states.find((state) => state.name === name)?.log ?? "";
    return (await readFile(path, "utf8")).trimEnd().split("\n");
  }
}

function elementOf<Element>(elements: readonly Element[], number: number): Element {
  return elements[number % elements.length] as Element;
}

function levelOf(line: string): number {
  try {
    return Number((JSON.parse(line) as { level?: unknown }).level);
  } catch {
    return Number.NaN;
  }
}
