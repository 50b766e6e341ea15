import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { Agent, request } from "node:http";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freeAddresses } from "../../client/cli/cluster/free-ports.ts";

const MEMBERS = 3;
const START_TIMEOUT_MS = 20_000;
const VALUE = Buffer.alloc(256, 7).toString("base64");

/**
 * A peer to compare with: etcd as Debian packages it (`apt-get install etcd-server`), three
 * members.
 */
export class EtcdPeer implements AsyncDisposable {
  readonly #processes: readonly ChildProcess[];
  readonly #clientAddress: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 256 });

  private constructor(processes: readonly ChildProcess[], clientAddress: string) {
    this.#processes = processes;
    this.#clientAddress = clientAddress;
  }

  /** Starts the members below `work`. Null if etcd is not installed. */
  static async start(work: string): Promise<EtcdPeer | null> {
    if (spawnSync("etcd", ["--version"]).status !== 0) return null;
    const addresses = await freeAddresses(0, 2 * MEMBERS);
    const members = Array.from({ length: MEMBERS }, (_, number) => ({
      name: `e${number}`,
      client: `http://${addresses[2 * number]}`,
      peer: `http://${addresses[2 * number + 1]}`,
    }));
    const cluster = members.map(({ name, peer }) => `${name}=${peer}`).join(",");
    const processes = members.map(({ name, client, peer }) =>
      spawn(
        "etcd",
        [
          ...["--name", name, "--data-dir", join(work, name), "--log-level", "error"],
          ...["--listen-client-urls", client, "--advertise-client-urls", client],
          ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer],
          ...["--initial-cluster", cluster, "--initial-cluster-state", "new"],
        ],
        { stdio: "ignore" },
      ),
    );
    const peer = new EtcdPeer(processes, addresses[0] as string);
    await peer.#untilServing();
    return peer;
  }

  /** Makes one durable put through the JSON gateway. */
  put(key: string): Promise<void> {
    const [host, port] = this.#clientAddress.split(":");
    const body = JSON.stringify({ key: Buffer.from(key).toString("base64"), value: VALUE });
    return new Promise((resolve, reject) => {
      const call = request(
        { host, port, method: "POST", path: "/v3/kv/put", agent: this.#agent },
        (response) => {
          response.resume();
          response.on("end", () => {
            if (response.statusCode === 200) resolve();
            else reject(new Error(`etcd answered ${response.statusCode}`));
          });
        },
      );
      call.on("error", reject);
      call.end(body);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#agent.destroy();
    for (const process of this.#processes) {
      if (process.exitCode !== null) continue;
      process.kill("SIGTERM");
      await once(process, "exit");
    }
  }

  async #untilServing(): Promise<void> {
    const untilMs = performance.now() + START_TIMEOUT_MS;
    for (;;) {
      try {
        await this.put("ready");
        return;
      } catch (error) {
        if (performance.now() > untilMs) throw error;
        await sleep(100);
      }
    }
  }
}
