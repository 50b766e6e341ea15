import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { joinTokenOf } from "../../client/cli/cluster/join-tokens.ts";
import { nodePaths } from "../../client/cli/cluster/layout.ts";
import { createClusterFiles } from "../../client/cli/cluster/node-files.ts";
import { connect } from "../../client/connect.ts";
import type { FileSystem } from "../../client/file-system.ts";
import { formatCount } from "../../shared/display/format.ts";
import type { ClusterFile } from "../../shared/platform/local-cluster-file.ts";
import type { ClusterStatus } from "../../shared/protocol/fleet-api.ts";
import { type FileSystemKind, LoopDisk } from "./loop-disk.ts";
import { SoakNetwork } from "./network.ts";
import { waitFor } from "./run-tool.ts";
import { SoakNode } from "./soak-node.ts";

const MIB = 1024 * 1024;
const MASTERS = 3;
const CHUNKSERVERS = 4;
/** Sizes of sparse images. XFS needs at least 300 MiB. */
const MASTER_DISK_BYTES = 1024 * MIB;
const CHUNKSERVER_DISK_BYTES = 3072 * MIB;
const LEADER_TIMEOUT_MS = 60_000;
const STATUS_TIMEOUT_MS = 2_000;
/** Poll interval. The leader asks every member for each status. */
const STATUS_POLL_MS = 150;
const HISTORY_RETENTION_MS = 60_000;
const INTENT_LIFETIME_MS = 60_000;
const RESERVE_BYTES = 64 * MIB;

/** What differs between soak tests. */
export interface SoakClusterOptions {
  /** Path of libfaketime. Default: the nodes use the clock of the machine. */
  readonly faketime?: string | null;
  /** Size of the disk of each chunkserver. Default: 3 GiB. */
  readonly chunkserverDiskBytes?: number;
  /** Time for which replaced content is kept. Default: 60 s. */
  readonly historyRetentionMs?: number;
}

/** Alternates between ext4 and XFS, so that each role has both. */
function fileSystemOf(index: number): FileSystemKind {
  return index % 2 === 0 ? "ext4" : "xfs";
}

/** 3 masters and 4 chunkservers, each with its own disk and network namespace. */
export class SoakCluster {
  readonly network = new SoakNetwork();
  readonly directory: string;
  readonly nodes: SoakNode[] = [];
  #file: ClusterFile | null = null;
  #statusClient: FileSystem | null = null;
  /** The observed leaders in order, each as "member term". */
  readonly leaders: string[] = [];

  constructor(directory: string) {
    this.directory = directory;
  }

  /** Creates disks, network and config files. No node runs yet. */
  async make(options: SoakClusterOptions): Promise<void> {
    const { chunkserverDiskBytes = CHUNKSERVER_DISK_BYTES, faketime = null } = options;
    const { historyRetentionMs = HISTORY_RETENTION_MS } = options;
    const cluster = join(this.directory, "cluster");
    const names = [...numbered("m", MASTERS), ...numbered("c", CHUNKSERVERS)];
    await this.network.open();
    const addresses: string[] = [];
    for (const name of names) {
      const address = await this.network.add(name);
      addresses.push(`${address}:7400`, `${address}:7401`);
    }
    this.#file = await createClusterFiles(cluster, {
      masters: MASTERS,
      chunkservers: CHUNKSERVERS,
      addresses,
      masterSettings: { historyRetentionMs, intentLifetimeMs: INTENT_LIFETIME_MS },
      chunkserverSettings: { reserveBytes: RESERVE_BYTES },
    });
    await mkdir(join(this.directory, "disks"), { recursive: true });
    for (const [index, node] of this.#file.nodes.entries()) {
      const paths = nodePaths(cluster, node.name);
      const disk = new LoopDisk({
        kind: fileSystemOf(index),
        image: join(this.directory, "disks", `${node.name}.img`),
        mountPoint: paths.data,
      });
      await disk.make(node.role === "master" ? MASTER_DISK_BYTES : chunkserverDiskBytes);
      await writeFile(paths.log, "");
      const prefix = this.network.prefix(node.name);
      this.nodes.push(new SoakNode({ node, paths, disk, prefix, faketime }));
    }
  }

  get masters(): SoakNode[] {
    return this.nodes.filter((node) => node.role === "master");
  }

  get chunkservers(): SoakNode[] {
    return this.nodes.filter((node) => node.role === "chunkserver");
  }

  node(name: string): SoakNode {
    const node = this.nodes.find((each) => each.name === name);
    if (node === undefined) throw new Error(`No such node: ${name}`);
    return node;
  }

  /** Connects a client with its own connections. */
  connect(clientName: string, timeoutMs: number): Promise<FileSystem> {
    return connect({
      masters: this.masters.map((node) => node.address),
      clusterId: this.#file?.clusterId ?? "",
      clientName,
      timeoutMs,
    });
  }

  /** Returns the cluster's status. @throws {AshlarError} if no leader answers within the timeout */
  async status(): Promise<ClusterStatus> {
    this.#statusClient ??= await this.connect("status", STATUS_TIMEOUT_MS);
    const status = await this.#statusClient.status();
    const leader = status.masters.find((master) => master.role === "leader");
    if (leader !== undefined) {
      const leadership = `${leader.memberId} ${leader.term}`;
      if (this.leaders.at(-1) !== leadership) this.leaders.push(leadership);
    }
    return status;
  }

  /** Returns the current leader. @throws {Error} if there is none for a minute */
  async leader(): Promise<SoakNode> {
    let found: SoakNode | undefined;
    await waitFor(
      async () => {
        const status = await this.status().catch(() => null);
        const leader = status?.masters.find((master) => master.role === "leader");
        found = this.masters.find((node) => node.address === leader?.address);
        return found !== undefined;
      },
      LEADER_TIMEOUT_MS,
      STATUS_POLL_MS,
    );
    if (found === undefined) throw new Error("Cannot find the leader");
    return found;
  }

  /**
   * Waits until the cluster is whole. Resolves with null, or after `timeoutMs` with a description
   * of the problem.
   */
  async waitUntilWhole(timeoutMs: number): Promise<string | null> {
    let problem = "no leader answers";
    const isWhole = await waitFor(
      async () => {
        try {
          problem = problemIn(await this.status(), this);
          if (problem === "") problem = await this.#notReady();
        } catch (error) {
          problem = (error as Error).message;
        }
        return problem === "";
      },
      timeoutMs,
      STATUS_POLL_MS,
    );
    return isWhole ? null : problem;
  }

  /**
   * Returns the first node that is not ready, with its problem. Empty if all are ready. Asks the
   * nodes directly, because the leader does not detect an outage of less than two seconds.
   */
  async #notReady(): Promise<string> {
    for (const node of this.nodes) {
      const problem = await node.notReady();
      if (problem !== null) return `${node.name} is not ready: ${problem}`;
    }
    return "";
  }

  /** Starts the nodes that do not run. Resolves when the masters have a leader. */
  async startAll(): Promise<void> {
    for (const node of this.masters) await node.start();
    await this.inviteChunkservers();
    for (const node of this.chunkservers) await node.start();
  }

  /** Gives each chunkserver a new join token for its next start. Waits for a leader. */
  async inviteChunkservers(): Promise<void> {
    await using fileSystem = await this.connect("enrolment", LEADER_TIMEOUT_MS);
    const joinToken = await joinTokenOf(fileSystem);
    for (const node of this.chunkservers) node.joinToken = joinToken;
  }

  /** Ends all processes and unmounts all disks. Works in any state of the cluster. */
  async tearDown(): Promise<void> {
    await this.#statusClient?.[Symbol.asyncDispose]();
    await Promise.all(this.nodes.map((node) => node.kill()));
    for (const node of this.nodes) await node.disk.unmount();
  }
}

function problemIn(status: ClusterStatus, cluster: SoakCluster): string {
  const dead = cluster.nodes.find((node) => !node.isRunning);
  if (dead !== undefined) return `${dead.name} ended: ${JSON.stringify(dead.ended)}`;
  const unreachableCount = status.masters.filter((master) => master.role === "unreachable").length;
  if (unreachableCount > 0) return `${formatCount(unreachableCount, "master")} not reachable`;
  const live = status.chunkservers.filter((server) => server.state === "live").length;
  if (live < CHUNKSERVERS) return `${live} of ${CHUNKSERVERS} chunkservers are live`;
  return status.health.word === "ok" ? "" : status.health.reasons.join("; ");
}

function numbered(letter: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${letter}${index + 1}`);
}
