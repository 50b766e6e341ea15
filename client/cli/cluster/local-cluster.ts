import type { ChildProcess } from "node:child_process";
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { AshlarError, isAshlarError } from "../../../shared/base/errors.ts";
import { shellWord } from "../../../shared/display/shell-word.ts";
import {
  type ClusterFile,
  type LocalNode,
  readClusterFile,
  requireClusterFile,
} from "../../../shared/platform/local-cluster-file.ts";
import type { ClusterStatus } from "../../../shared/protocol/fleet-api.ts";
import { connect } from "../../connect.ts";
import type { FileSystem } from "../../file-system.ts";
import { whileLocked } from "../local/directory-lock.ts";
import { type AwaitedNodes, NodeExits, whileAllRun } from "./exited-node.ts";
import { freeAddresses } from "./free-ports.ts";
import { joinTokenOf, needsJoinToken } from "./join-tokens.ts";
import { nodePaths, numberOf } from "./layout.ts";
import { addNodeFiles, createClusterFiles } from "./node-files.ts";
import { runningPid, signalNode, startNode, stopNode, waitForExit } from "./node-process.ts";
import { checkServerId, forgetLostIds, recordServerIds } from "./server-ids.ts";
import { addFailure, undoAdd } from "./undo-add.ts";
import { waitForNode } from "./wait-for-node.ts";
import {
  missingCondition,
  missingNode,
  type OnWait,
  type WaitOptions,
  waitUntil,
} from "./wait-until.ts";

/** Options of `cluster up`. The counts and addresses apply to a new cluster only. */
export interface UpOptions extends WaitOptions {
  readonly directory: string;
  readonly masters: number;
  readonly chunkservers: number;
  /** First port of a new cluster, which takes two per node; 0 for any free ports. */
  readonly basePort: number;
  /** Config keys of a new cluster. They override the defaults of a local cluster. */
  readonly masterSettings?: Readonly<Record<string, string | number | boolean>>;
  readonly chunkserverSettings?: Readonly<Record<string, string | number | boolean>>;
  /** Whether a chunkserver whose data directory lost its identity starts as a new server. */
  readonly acceptsNewServers?: boolean;
}

/** One node and its process. */
export interface NodeState {
  readonly name: string;
  readonly role: LocalNode["role"];
  readonly address: string;
  readonly http: string;
  /** null if the process is not running. */
  readonly pid: number | null;
  readonly log: string;
}

/** A chunkserver id, or its beginning as `ashlar status` shows it. */
const SERVER_ID = /^[0-9a-f]{8,32}$/;
const STATUS_TIMEOUT_MS = 5_000;
const POLL_MS = 100;
const TERMINATE_TIMEOUT_MS = 15_000;

/**
 * A local cluster, which `ashlar cluster` keeps in a directory: one process per node, on the
 * loopback. The processes outlive the command that starts them.
 */
export class LocalCluster {
  readonly directory: string;
  #file: ClusterFile;
  readonly #exits = new NodeExits();

  private constructor(directory: string, file: ClusterFile) {
    this.directory = resolve(directory);
    this.#file = file;
  }

  /** Opens the cluster in `directory`. @throws {AshlarError} NOT_FOUND */
  static async open(directory: string): Promise<LocalCluster> {
    return new LocalCluster(directory, await requireClusterFile(directory));
  }

  /**
   * Creates the cluster if it does not exist and starts the nodes that are not running. Resolves
   * when the cluster serves: there is a leader, and every chunkserver is live.
   *
   * @throws {AshlarError} ADDRESS_IN_USE; UNAVAILABLE with the log of a node that exited;
   *   DEADLINE_EXCEEDED with the condition that was not met; ALREADY_EXISTS while another command
   *   changes the directory
   */
  static async up(options: UpOptions): Promise<LocalCluster> {
    const { directory } = options;
    const cluster = await whileLocked(directory, async () => {
      const file = (await readClusterFile(directory)) ?? (await createCluster(options));
      const opened = new LocalCluster(directory, file);
      await opened.#prepare(file.nodes, options.acceptsNewServers === true);
      await opened.#startAll(options);
      return opened;
    });
    await cluster.waitUntilServing(options);
    await cluster.#recordServerIds();
    return cluster;
  }

  /** Starts the nodes that are not running. A chunkserver that has not enrolled starts after the masters. */
  async #startAll(options: WaitOptions): Promise<void> {
    const waiting: LocalNode[] = [];
    for (const { name } of this.#file.nodes) {
      const node = this.node(name);
      if (await this.#mustEnrol(node)) waiting.push(node);
      else await this.#startUnlessRunning(node);
    }
    if (waiting.length === 0) return;
    const masters = this.#file.nodes.filter((node) => node.role === "master");
    await this.#waitFor(masters, () => null, { ...options, needsAllProcesses: true });
    const joinToken = await this.#joinToken(options);
    for (const node of waiting) await this.#startUnlessRunning(node, joinToken);
  }

  async #mustEnrol(node: LocalNode): Promise<boolean> {
    const isRunning = (await runningPid(this.directory, node)) !== null;
    return !isRunning && (await needsJoinToken(this.directory, node));
  }

  async #joinToken({ timeoutMs, signal }: WaitOptions): Promise<string | undefined> {
    await using fileSystem = await this.#connect(timeoutMs);
    return await joinTokenOf(fileSystem, signal);
  }

  /**
   * Checks the data directories of chunkservers before a start, under the lock of the directory.
   *
   * @param acceptsNewServers forgets a recorded server id that a data directory no longer has
   * @throws {AshlarError} WRONG_IDENTITY
   */
  async #prepare(nodes: readonly LocalNode[], acceptsNewServers: boolean): Promise<void> {
    if (acceptsNewServers) {
      await forgetLostIds(this.directory, nodes);
      return;
    }
    for (const node of nodes) await checkServerId(this.directory, node);
  }

  /** Records the ids of chunkservers that have started for the first time. */
  async #recordServerIds(): Promise<void> {
    await whileLocked(this.directory, async () => {
      this.#file = await requireClusterFile(this.directory);
      await recordServerIds(this.directory, this.nodes);
    });
  }

  get clusterId(): string {
    return this.#file.clusterId;
  }

  get nodes(): readonly LocalNode[] {
    return this.#file.nodes;
  }

  /** Addresses of the masters, for clients. */
  get masters(): string[] {
    return this.#file.nodes.filter((node) => node.role === "master").map((node) => node.address);
  }

  /** Returns the node `name`. @throws {AshlarError} NOT_FOUND with the names of all nodes */
  node(name: string): LocalNode {
    const node = this.#file.nodes.find((each) => each.name === name);
    if (node !== undefined) return node;
    const names = this.#file.nodes.map((each) => each.name).join(", ");
    throw new AshlarError(
      "NOT_FOUND",
      `Cannot find the node in ${this.directory}: expected one of ${names}: current value is "${name}"`,
    );
  }

  /**
   * Returns the node `name`, or the node of the chunkserver whose id begins with `name`.
   *
   * @throws {AshlarError} NOT_FOUND with the names of all nodes; an error of the masters, which know
   *   the ids
   */
  async find(name: string): Promise<LocalNode> {
    if (!SERVER_ID.test(name)) return this.node(name);
    const { chunkservers } = await this.status(STATUS_TIMEOUT_MS);
    const found = chunkservers.filter(({ serverId }) => serverId.startsWith(name));
    const [server] = found;
    const node = this.#file.nodes.find(({ address }) => address === server?.address);
    return found.length === 1 && node !== undefined ? node : this.node(name);
  }

  /** Returns the state of every node, in the order of cluster.json. */
  async states(): Promise<NodeState[]> {
    return Promise.all(
      this.#file.nodes.map(async (node) => ({
        name: node.name,
        role: node.role,
        address: node.address,
        http: node.http,
        pid: await runningPid(this.directory, node),
        log: nodePaths(this.directory, node.name).log,
      })),
    );
  }

  /**
   * Sends a signal to one node. For SIGKILL and SIGTERM it resolves when the process has exited.
   *
   * @throws {AshlarError} NOT_FOUND; UNAVAILABLE if the node is not running
   */
  async kill(name: string, signal: NodeJS.Signals | number): Promise<void> {
    const node = this.node(name);
    if (!(await signalNode(this.directory, node, signal))) {
      throw new AshlarError("UNAVAILABLE", `Cannot signal ${name}: the node is not running`, {
        hint: `ashlar cluster start --dir ${shellWord(this.directory)} ${name}`,
      });
    }
    const isFatal = signal === "SIGKILL" || signal === 9 || signal === "SIGTERM" || signal === 15;
    if (isFatal) await waitForExit(this.directory, node, TERMINATE_TIMEOUT_MS);
  }

  /**
   * Starts one node unless it is running. Resolves before the node serves.
   *
   * @returns the pid
   * @throws {AshlarError} NOT_FOUND; WRONG_IDENTITY for the data directory of another server, unless
   *   `acceptsNewServers`
   */
  async start(
    name: string,
    { acceptsNewServers = false }: Pick<UpOptions, "acceptsNewServers"> = {},
  ): Promise<number> {
    return whileLocked(this.directory, async () => {
      this.#file = await requireClusterFile(this.directory);
      await this.#prepare([this.node(name)], acceptsNewServers);
      const node = this.node(name);
      const joinToken = (await this.#mustEnrol(node))
        ? await this.#joinTokenIfServing()
        : undefined;
      return this.#startUnlessRunning(node, joinToken);
    });
  }

  /** Waits until a node that was started serves: see `waitForNode`. Records the id of a new server. */
  async waitForNode(name: string, options: WaitOptions): Promise<string | null> {
    const { directory, nodes } = this;
    const awaited = { directory, all: nodes, exits: this.#exits };
    const problem = await waitForNode(this.node(name), { ...awaited, ...options });
    if (problem === null) await this.#recordServerIds();
    return problem;
  }

  /**
   * Returns a join token. Undefined if the masters do not answer: they may need none.
   *
   * @throws {AshlarError} PRECONDITION_FAILED if there are too many valid tokens
   */
  async #joinTokenIfServing(): Promise<string | undefined> {
    try {
      return await this.#joinToken({ timeoutMs: STATUS_TIMEOUT_MS });
    } catch (error) {
      if (!isAshlarError(error) || error.code === "PRECONDITION_FAILED") throw error;
      return undefined;
    }
  }

  /** Starts a node, under the lock of the directory. @returns the pid */
  async #startUnlessRunning(node: LocalNode, joinToken?: string): Promise<number> {
    const pid = await runningPid(this.directory, node);
    if (pid !== null) return pid;
    const onStarted = (child: ChildProcess): void => this.#exits.watch(node.name, child);
    return startNode(this.directory, node, { joinToken, onStarted });
  }

  /**
   * Adds and starts a node: a master of the Raft group, or a chunkserver. Resolves when a new
   * master has its vote and a new chunkserver is live. If this fails, the directory is as before,
   * unless the masters know the node already: see `AddFailure`.
   *
   * @throws {AshlarError} ADDRESS_IN_USE; what `Masters.add` throws; what `status` throws if the
   *   cluster does not serve
   */
  async add(
    role: LocalNode["role"],
    options: Pick<UpOptions, "basePort"> & WaitOptions,
  ): Promise<LocalNode> {
    const { basePort } = options;
    await this.#requireServing(role);
    const node = await whileLocked(this.directory, async () => {
      const addresses = await freeAddresses(basePort, 2);
      // Read again: another command can have added a node.
      const before = await requireClusterFile(this.directory);
      const added = await addNodeFiles(this.directory, before, { role, addresses });
      this.#file = added.cluster;
      return added.node;
    });
    try {
      await this.start(node.name);
      if (role === "master") {
        const add = (signal: AbortSignal) => this.#addMember(node, { ...options, signal });
        await whileAllRun(this.#awaited([node]), add, options.signal);
      }
      const problem = (status: ClusterStatus) => missingNode(node, status);
      await this.#waitFor([node], problem, { ...options, needsAllProcesses: true });
    } catch (error) {
      const undone = await undoAdd(this, node);
      throw addFailure(node, { directory: this.directory, error, undone });
    }
    await this.#recordServerIds();
    return node;
  }

  /** Checks that the masters answer, before anything is made for a new node. */
  async #requireServing(role: LocalNode["role"]): Promise<void> {
    try {
      await this.status(STATUS_TIMEOUT_MS);
    } catch (error) {
      if (!isAshlarError(error)) throw error;
      const message = `Cannot add a ${role}: the cluster does not serve: ${error.message}`;
      const hint = `ashlar cluster up --dir ${shellWord(this.directory)}`;
      throw new AshlarError(error.code, message, { cause: error, hint });
    }
  }

  /** Adds a new master to the Raft group. Retries until the process responds. */
  async #addMember(
    node: LocalNode,
    { timeoutMs, signal, onWait }: WaitOptions & { readonly signal: AbortSignal },
  ): Promise<void> {
    await using fileSystem = await this.#connect(timeoutMs);
    const untilMs = performance.now() + timeoutMs;
    const added = [{ memberId: numberOf(node), address: node.address }];
    for (;;) {
      try {
        await fileSystem.masters.add(added, { catchUpTimeoutMs: timeoutMs, signal });
        return;
      } catch (error) {
        const isUnreachable = isAshlarError(error, "MEMBER_UNREACHABLE");
        if (!isUnreachable || performance.now() > untilMs) throw error;
        signal.throwIfAborted();
        onWait?.(`${node.name} does not respond yet`);
        await sleep(POLL_MS);
      }
    }
  }

  /**
   * Stops the chunkservers, then the masters: see `stopNode`.
   *
   * @returns the names of the nodes that were killed
   */
  async down(onWait?: OnWait): Promise<string[]> {
    const killed: string[] = [];
    for (const role of ["chunkserver", "master"] as const) {
      const nodes = this.#file.nodes.filter((node) => node.role === role);
      const running = new Set(nodes.map(({ name }) => name));
      const report = (): void => onWait?.([...running].join(", "));
      report();
      await Promise.all(
        nodes.map(async (node) => {
          const result = await stopNode(this.directory, node);
          if (result !== "stopped") killed.push(node.name);
          running.delete(node.name);
          report();
        }),
      );
    }
    return killed;
  }

  /** Returns the masters in this directory that are not members: removed, or never added. */
  async nonMembers(timeoutMs: number): Promise<LocalNode[]> {
    const { masters } = await this.status(timeoutMs);
    const members = new Set<number>(masters.map((master) => master.memberId));
    return this.nodes.filter((node) => node.role === "master" && !members.has(numberOf(node)));
  }

  /** Resolves when there is a leader, all masters respond and every chunkserver is live. */
  async waitUntilServing(options: WaitOptions): Promise<ClusterStatus> {
    return this.waitUntil((status) => missingCondition(this.nodes, status), {
      ...options,
      needsAllProcesses: true,
    });
  }

  /** Polls the status until `problem` returns null: see `waitUntil`. */
  async waitUntil(
    problem: (status: ClusterStatus) => string | null,
    options: WaitOptions & { readonly needsAllProcesses?: boolean },
  ): Promise<ClusterStatus> {
    return this.#waitFor(this.nodes, problem, options);
  }

  #waitFor(
    nodes: readonly LocalNode[],
    problem: (status: ClusterStatus) => string | null,
    options: WaitOptions & { readonly needsAllProcesses?: boolean },
  ): Promise<ClusterStatus> {
    const connect = (timeoutMs: number) => this.#connect(timeoutMs);
    return waitUntil({ ...this.#awaited(nodes), connect }, problem, options);
  }

  #awaited(nodes: readonly LocalNode[]): AwaitedNodes {
    return { directory: this.directory, nodes, exits: this.#exits };
  }

  /** Returns the status of the cluster over a new connection. @throws {AshlarError} */
  async status(timeoutMs: number): Promise<ClusterStatus> {
    await using fileSystem = await this.#connect(timeoutMs);
    return await fileSystem.status();
  }

  #connect(timeoutMs: number): Promise<FileSystem> {
    const { masters, clusterId } = this;
    return connect({ masters, clusterId, timeoutMs });
  }
}

/** Writes the files of a new cluster, under the lock of its directory. */
async function createCluster(options: UpOptions): Promise<ClusterFile> {
  const { directory, masters, chunkservers, basePort } = options;
  const { masterSettings = {}, chunkserverSettings = {} } = options;
  const addresses = await freeAddresses(basePort, 2 * (masters + chunkservers));
  const plan = { masters, chunkservers, addresses, masterSettings, chunkserverSettings };
  return createClusterFiles(directory, plan);
}
