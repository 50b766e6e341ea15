import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { AshlarError, isAshlarError } from "../../../shared/base/errors.ts";
import {
  type ClusterFile,
  type LocalNode,
  readClusterFile,
  requireClusterFile,
} from "../../../shared/platform/local-cluster-file.ts";
import type { ClusterStatus } from "../../../shared/protocol/fleet-api.ts";
import { connect } from "../../connect.ts";
import { freeAddresses } from "./free-ports.ts";
import { addNodeFiles, createClusterFiles, nodePaths, numberOf } from "./layout.ts";
import { logTail, runningPid, signalNode, startNode, waitUntilGone } from "./node-process.ts";

export interface UpOptions {
  readonly directory: string;
  readonly masters: number;
  readonly chunkservers: number;
  /** First of the ports that a new cluster takes, two a node; 0: any that are free. */
  readonly basePort: number;
  /** Config keys over the defaults of a local cluster, for a new cluster. */
  readonly masterSettings?: Readonly<Record<string, string | number | boolean>>;
  readonly chunkserverSettings?: Readonly<Record<string, string | number | boolean>>;
  readonly timeoutMs: number;
}

export interface NodeState {
  readonly name: string;
  readonly role: LocalNode["role"];
  readonly address: string;
  readonly http: string;
  /** null: it does not run. */
  readonly pid: number | null;
  readonly log: string;
}

const POLL_MS = 100;
const TERMINATE_TIMEOUT_MS = 15_000;
const KILL_TIMEOUT_MS = 5_000;

/**
 * The cluster that `ashlar cluster` keeps in a directory: real processes on the loopback, one for
 * each node, that live on when the command that started them ends.
 */
export class LocalCluster {
  readonly directory: string;
  #file: ClusterFile;

  private constructor(directory: string, file: ClusterFile) {
    this.directory = resolve(directory);
    this.#file = file;
  }

  /** The cluster that is there. @throws {AshlarError} NOT_FOUND */
  static async open(directory: string): Promise<LocalCluster> {
    return new LocalCluster(directory, await requireClusterFile(directory));
  }

  /**
   * Makes the cluster if it is not there, starts the nodes that do not run, and resolves when it
   * serves: a leader, and every chunkserver live.
   *
   * @throws {AshlarError} ADDRESS_IN_USE; UNAVAILABLE with the log of the node that ended, or with
   *   what was still missing at the deadline.
   */
  static async up(options: UpOptions): Promise<LocalCluster> {
    const { directory, masters, chunkservers, basePort } = options;
    let file = await readClusterFile(directory);
    if (file === null) {
      const addresses = await freeAddresses(basePort, 2 * (masters + chunkservers));
      file = await createClusterFiles(directory, {
        masters,
        chunkservers,
        addresses,
        masterSettings: options.masterSettings ?? {},
        chunkserverSettings: options.chunkserverSettings ?? {},
      });
    }
    const cluster = new LocalCluster(directory, file);
    for (const node of file.nodes) {
      if ((await runningPid(cluster.directory, node)) === null) {
        await startNode(cluster.directory, node);
      }
    }
    await cluster.waitUntilServing(options.timeoutMs);
    return cluster;
  }

  get clusterId(): string {
    return this.#file.clusterId;
  }

  get nodes(): readonly LocalNode[] {
    return this.#file.nodes;
  }

  /** Addresses of the masters: what a client connects to. */
  get masters(): string[] {
    return this.#file.nodes.filter((node) => node.role === "master").map((node) => node.address);
  }

  /** @throws {AshlarError} NOT_FOUND naming the nodes that there are */
  node(name: string): LocalNode {
    const node = this.#file.nodes.find((each) => each.name === name);
    if (node !== undefined) return node;
    const names = this.#file.nodes.map((each) => each.name).join(", ");
    throw new AshlarError(
      "NOT_FOUND",
      `Cannot find node "${name}" in ${this.directory}: there are ${names}`,
    );
  }

  async states(): Promise<NodeState[]> {
    return Promise.all(
      this.#file.nodes.map(async (node) => ({
        ...node,
        pid: await runningPid(this.directory, node),
        log: nodePaths(this.directory, node.name).log,
      })),
    );
  }

  /** Sends a signal to one node; for SIGKILL and SIGTERM waits until it is gone. */
  async kill(name: string, signal: NodeJS.Signals | number): Promise<void> {
    const node = this.node(name);
    if (!(await signalNode(this.directory, node, signal))) {
      throw new AshlarError("UNAVAILABLE", `Cannot signal ${name}: it does not run`, {
        hint: `ashlar cluster start ${name}`,
      });
    }
    const ends = signal === "SIGKILL" || signal === 9 || signal === "SIGTERM" || signal === 15;
    if (ends) await waitUntilGone(this.directory, node, TERMINATE_TIMEOUT_MS);
  }

  /** Starts one node. Does not wait for it to serve. @returns its pid */
  async start(name: string): Promise<number> {
    const node = this.node(name);
    const pid = await runningPid(this.directory, node);
    return pid ?? startNode(this.directory, node);
  }

  /**
   * Adds a node: a master to the Raft group, a chunkserver to the fleet. Resolves when it counts.
   *
   * @throws {AshlarError} ADDRESS_IN_USE; DEADLINE_EXCEEDED; what `Masters.add` throws
   */
  async add(
    role: LocalNode["role"],
    options: { readonly basePort: number; readonly timeoutMs: number },
  ): Promise<LocalNode> {
    const { basePort, timeoutMs } = options;
    const addresses = await freeAddresses(basePort, 2);
    const { cluster, node } = await addNodeFiles(this.directory, this.#file, { role, addresses });
    this.#file = cluster;
    await startNode(this.directory, node);
    if (role === "master") await this.#admit(node, timeoutMs);
    await this.waitUntilServing(timeoutMs);
    return node;
  }

  /** The process takes a moment before it answers. */
  async #admit(node: LocalNode, timeoutMs: number): Promise<void> {
    const { masters, clusterId } = this;
    await using fileSystem = await connect({ masters, clusterId, timeoutMs });
    const untilMs = performance.now() + timeoutMs;
    const added = [{ memberId: numberOf(node), address: node.address }];
    for (;;) {
      try {
        await fileSystem.masters.add(added, { catchUpTimeoutMs: timeoutMs });
        return;
      } catch (error) {
        const isEarly = isAshlarError(error, "MEMBER_UNREACHABLE");
        if (!isEarly || performance.now() > untilMs) throw error;
        await sleep(POLL_MS);
      }
    }
  }

  /**
   * Stops every node in good order, chunkservers first; what does not end in time is killed.
   *
   * @returns names of the nodes that had to be killed
   */
  async down(): Promise<string[]> {
    const killed: string[] = [];
    for (const role of ["chunkserver", "master"] as const) {
      const nodes = this.#file.nodes.filter((node) => node.role === role);
      await Promise.all(
        nodes.map(async (node) => {
          if (!(await this.#stop(node))) killed.push(node.name);
        }),
      );
    }
    return killed;
  }

  /** @returns false if it had to be killed */
  async #stop(node: LocalNode): Promise<boolean> {
    if (!(await signalNode(this.directory, node, "SIGTERM"))) return true;
    // A stopped process (SIGSTOP) takes no SIGTERM before it goes on.
    await signalNode(this.directory, node, "SIGCONT");
    if (await waitUntilGone(this.directory, node, TERMINATE_TIMEOUT_MS)) return true;
    await signalNode(this.directory, node, "SIGKILL");
    await waitUntilGone(this.directory, node, KILL_TIMEOUT_MS);
    return false;
  }

  /** Masters of this directory that are no members: they were removed, or wait to be added. */
  async nonMembers(timeoutMs: number): Promise<LocalNode[]> {
    const { masters } = await this.status(timeoutMs);
    const members = new Set<number>(masters.map((master) => master.memberId));
    return this.nodes.filter((node) => node.role === "master" && !members.has(numberOf(node)));
  }

  /** Resolves when there is a leader and every chunkserver is live. */
  async waitUntilServing(timeoutMs: number): Promise<ClusterStatus> {
    return this.waitUntil((status) => missing(this.#file, status), {
      timeoutMs,
      needsAllProcesses: true,
    });
  }

  /**
   * Polls the status until `problem` answers null.
   *
   * @param problem what is still missing, for the error at the deadline
   * @throws {AshlarError} DEADLINE_EXCEEDED; UNAVAILABLE if a node ended and all are needed
   */
  async waitUntil(
    problem: (status: ClusterStatus) => string | null,
    options: { readonly timeoutMs: number; readonly needsAllProcesses?: boolean },
  ): Promise<ClusterStatus> {
    const deadlineMs = performance.now() + options.timeoutMs;
    let lastProblem = "no master answers";
    while (performance.now() < deadlineMs) {
      if (options.needsAllProcesses === true) await this.#requireAllRunning();
      try {
        const status = await this.status(2_000);
        const found = problem(status);
        if (found === null) return status;
        lastProblem = found;
      } catch (error) {
        if (!isAshlarError(error)) throw error;
        lastProblem = error.message;
      }
      await sleep(POLL_MS);
    }
    throw new AshlarError(
      "DEADLINE_EXCEEDED",
      `The cluster in ${this.directory} was not ready within ${options.timeoutMs} ms: ${lastProblem}`,
      { hint: `ashlar cluster logs --dir ${this.directory}` },
    );
  }

  async status(timeoutMs: number): Promise<ClusterStatus> {
    await using fileSystem = await connect({
      masters: this.masters,
      clusterId: this.clusterId,
      timeoutMs,
    });
    return await fileSystem.status();
  }

  async #requireAllRunning(): Promise<void> {
    for (const node of this.#file.nodes) {
      if ((await runningPid(this.directory, node)) !== null) continue;
      const tail = await logTail(this.directory, node, 5);
      throw new AshlarError(
        "UNAVAILABLE",
        `${node.name} ended while the cluster was starting; its log ends with:\n  ${tail.join("\n  ")}`,
        { hint: `ashlar cluster logs ${node.name} --dir ${this.directory}` },
      );
    }
  }
}

function missing(file: ClusterFile, status: ClusterStatus): string | null {
  const wanted = file.nodes.filter((node) => node.role === "chunkserver").length;
  const live = status.chunkservers.filter((server) => server.state === "live").length;
  if (live < wanted) return `${live} of ${wanted} chunkservers are live`;
  const unreachable = status.masters.filter((master) => master.role === "unreachable").length;
  return unreachable === 0 ? null : `${unreachable} masters do not answer`;
}
