import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import fc from "fast-check";
import { LocalCluster } from "../../client/cli/cluster/local-cluster.ts";
import { connect } from "../../client/connect.ts";
import type { FileSystem } from "../../client/file-system.ts";
import { formatSize } from "../../shared/display/format.ts";
import { readKnownValues } from "./cluster-values.ts";
import { FuzzedNodes } from "./nodes.ts";
import { type FuzzedRequest, methodNames, requestsOf } from "./requests.ts";
import { sendRequest } from "./send.ts";
import type { KnownValues } from "./values.ts";

const UP_TIMEOUT_MS = 60_000;
/** Requests that are generated from one seed, with values that the cluster knew before. */
const BATCH_SIZE = 500;
const IN_FLIGHT_MAX = 32;
/** Anonymous memory of a process after the run. An empty cluster takes about 90 MiB. */
const MEMORY_BYTES_MAX = 512 * 1024 * 1024;
const REQUEST_LENGTH_MAX = 2_000;

/** Options of a run. */
export interface FuzzOptions {
  readonly seconds: number;
  /** Seed of the first batch. The next batches have the following numbers. */
  readonly seed: number;
  readonly print: (line: string) => void;
}

/** Sends generated requests to a cluster of real processes. @returns whether no fault was found */
export async function runFuzz(options: FuzzOptions): Promise<boolean> {
  const work = await mkdtemp(join(tmpdir(), "ashlar-fuzz-"));
  const cluster = await LocalCluster.up({
    ...{ directory: join(work, "cluster"), masters: 3, chunkservers: 3 },
    ...{ basePort: 0, timeoutMs: UP_TIMEOUT_MS },
  });
  try {
    const { masters, clusterId } = cluster;
    await using fileSystem = await connect({ masters, clusterId });
    await using nodes = await FuzzedNodes.of(cluster);
    return await new Run(options, { cluster, fileSystem, nodes }).run();
  } finally {
    await cluster.down();
    await rm(work, { recursive: true, force: true });
  }
}

interface RunDeps {
  readonly cluster: LocalCluster;
  readonly fileSystem: FileSystem;
  readonly nodes: FuzzedNodes;
}

class Run {
  readonly #options: FuzzOptions;
  readonly #deps: RunDeps;
  /** Number of answers by their code. */
  readonly #codes = new Map<string, number>();
  readonly #inFlight = new Map<string, FuzzedRequest>();
  #isFaulty = false;
  #leaderAddress = "";
  #known: KnownValues | null = null;

  constructor(options: FuzzOptions, deps: RunDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  async run(): Promise<boolean> {
    const { seconds, seed, print } = this.#options;
    const { nodes } = this.#deps;
    print(`${methodNames().length} methods, ${seconds} s, seed ${seed}`);
    const endMs = Date.now() + seconds * 1_000;
    for (let batch = 0; Date.now() < endMs && !this.#isFaulty; batch += 1) {
      await this.#runBatch(seed + batch, endMs);
      await nodes.probe().catch((error: Error) => this.#report(error.message));
      for (const death of await nodes.deaths()) {
        this.#report(death);
        for (const [label, request] of this.#inFlight) print(`  ${label}: ${describe(request)}`);
      }
    }
    for (const line of await nodes.loggedFaults()) this.#report(line);
    for (const [name, bytes] of nodes.memory()) {
      print(`${name}: ${formatSize(bytes, true)} of anonymous memory`);
      if (!(bytes <= MEMORY_BYTES_MAX)) this.#report(`${name} keeps too much memory`);
    }
    const codes = [...this.#codes].sort((left, right) => right[1] - left[1]);
    for (const [code, count] of codes) print(`${String(count).padStart(9)}  ${code}`);
    return !this.#isFaulty;
  }

  async #runBatch(seed: number, endMs: number): Promise<void> {
    const { fileSystem, cluster, nodes } = this.#deps;
    this.#leaderAddress = await this.#findLeader();
    const leader = await nodes.connectionTo(this.#leaderAddress, "client");
    const peer = await nodes.connectionTo(this.#leaderAddress, "master");
    const subject = { cluster, fileSystem, leader, peer };
    // Requests may take the chunkservers or the files away: then the values of before are used.
    const known = await readKnownValues(subject).catch((error: unknown) => {
      if (this.#known === null) throw error;
      return this.#known;
    });
    this.#known = known;
    const requests = fc.sample(requestsOf(known), { seed, numRuns: BATCH_SIZE });
    const choices = fc.sample(fc.nat(10_000), { seed, numRuns: BATCH_SIZE });
    let next = 0;
    this.#inFlight.clear();
    const send = async (): Promise<void> => {
      while (next < requests.length && Date.now() < endMs && !this.#isFaulty) {
        const at = next;
        next += 1;
        await this.#send(
          requests[at] as FuzzedRequest,
          choices[at] as number,
          `seed ${seed}, request ${at}`,
        );
      }
    };
    await Promise.all(Array.from({ length: IN_FLIGHT_MAX }, send));
  }

  async #send(request: FuzzedRequest, choice: number, label: string): Promise<void> {
    const { node, connection } = await this.#deps.nodes.connection(
      request.method,
      choice,
      this.#leaderAddress,
    );
    const place = `${label} to ${node.name}`;
    this.#inFlight.set(place, request);
    const { code, fault } = await sendRequest(connection, request);
    this.#codes.set(code, (this.#codes.get(code) ?? 0) + 1);
    if (fault !== null) this.#report(`${place}: ${code}: ${fault}: ${describe(request)}`);
    // The requests of a lost connection stay: one of them may have ended the process.
    if (code !== "CONNECTION_LOST") this.#inFlight.delete(place);
  }

  async #findLeader(): Promise<string> {
    const { masters } = await this.#deps.fileSystem.status();
    return masters.find(({ role }) => role === "leader")?.address ?? "";
  }

  #report(fault: string): void {
    this.#isFaulty = true;
    this.#options.print(`FAULT ${fault}`);
  }
}

function describe(request: FuzzedRequest): string {
  const { method, ...rest } = request;
  const text = inspect(rest, {
    depth: 8,
    maxArrayLength: 8,
    breakLength: Number.POSITIVE_INFINITY,
  });
  return `${method.name} ${text.slice(0, REQUEST_LENGTH_MAX)}`;
}
