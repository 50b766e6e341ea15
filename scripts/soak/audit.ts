import { createHash } from "node:crypto";
import type { FileSystem } from "../../client/file-system.ts";
import type { LogIndex } from "../../shared/base/ids.ts";
import { SlabPool } from "../../shared/flow/slabs.ts";
import { createHasher } from "../../shared/platform/hasher.ts";
import { createLog } from "../../shared/platform/pino-log.ts";
import { PrometheusMetrics } from "../../shared/platform/prometheus-metrics.ts";
import { SystemClock } from "../../shared/platform/system-clock.ts";
import { SystemRandom } from "../../shared/platform/system-random.ts";
import { TcpNetwork } from "../../shared/platform/tcp-network.ts";
import { list } from "../../shared/protocol/namespace-api.ts";
import { ConnectionPool } from "../../shared/wire/connection-pool.ts";
import { contentOf, stampOfContent } from "./file-content.ts";
import type { Journal } from "./journal.ts";
import type { SoakCluster } from "./soak-cluster.ts";
import { stampOf, stampOfAttributes } from "./stamp.ts";
import type { Workload } from "./workload.ts";
import type { Writer } from "./writer.ts";

/** Timeout of a call. Longer than the time until a cluster must be whole again. */
const CALL_TIMEOUT_MS = 60_000;
const MIB = 1024 * 1024;

/**
 * Verifies the whole state while no client writes: each acknowledged file exists with its bytes, no
 * other file exists, and all masters have the same names.
 */
export class Audit {
  readonly #cluster: SoakCluster;
  readonly #journal: Journal;
  readonly #pool: ConnectionPool;
  #fileSystem: FileSystem | null = null;
  fileCount = 0;

  constructor(cluster: SoakCluster, journal: Journal) {
    this.#cluster = cluster;
    this.#journal = journal;
    this.#pool = memberPool();
  }

  /** Runs one audit. Violations are added to the journal. */
  async run(workload: Workload): Promise<void> {
    this.#fileSystem ??= await this.#cluster.connect("audit", CALL_TIMEOUT_MS);
    for (const writer of workload.writers) await this.#checkFiles(this.#fileSystem, writer);
    await workload.counter.check(this.#fileSystem);
    const directories = workload.writers.map((writer) => writer.directory);
    await this.#compareMembers(this.#fileSystem, directories);
  }

  /** Verifies every replica of every chunk on every server. */
  async verifyReplicas(): Promise<void> {
    this.#fileSystem ??= await this.#cluster.connect("audit", CALL_TIMEOUT_MS);
    for await (const result of this.#fileSystem.verify("/soak", { allReplicas: true })) {
      if (result.kind === "chunk" || (result.isReadable && result.badReplicaCount === 0)) continue;
      const path = Buffer.from(result.path).toString();
      const { isReadable, badReplicaCount, error } = result;
      const found = `readable ${isReadable}, ${badReplicaCount} bad replicas, ${error}`;
      this.#journal.violation(`${path}: its replicas are not complete: ${found}`);
    }
  }

  async close(): Promise<void> {
    await this.#fileSystem?.[Symbol.asyncDispose]();
    await this.#pool.close(0);
  }

  async #checkFiles(fileSystem: FileSystem, writer: Writer): Promise<void> {
    const shown = new Map<string, number | null>();
    for await (const { displayName, attributes } of fileSystem.list(writer.directory)) {
      shown.set(`${writer.directory}/${displayName}`, stampOfAttributes(attributes));
    }
    for (const { path, value } of writer.registers) {
      const found = shown.get(path) ?? null;
      shown.delete(path);
      if (found !== value) {
        this.#journal.violation(`${path}: expected ${value}, as acknowledged: found ${found}`);
      }
      if (found !== null) await this.#checkBytes(fileSystem, path, found);
    }
    for (const path of shown.keys()) this.#journal.violation(`${path}: no client created it`);
  }

  async #checkBytes(fileSystem: FileSystem, path: string, stamp: number): Promise<void> {
    this.fileCount += 1;
    try {
      const bytes = await fileSystem.readFile(path);
      // An empty file was created and not written yet: its stamp is in its attributes.
      const expected = path.includes("pair-") ? Buffer.from(`stamp ${stamp}\n`) : contentOf(stamp);
      const isCreated = bytes.length === 0 && (await stampOf(fileSystem, path)) === stamp;
      if (isCreated || expected.equals(bytes)) return;
      this.#journal.violation(`${path}: expected ${stamp}: found ${stampOfContent(bytes)}`);
    } catch (error) {
      this.#journal.violation(`${path}: cannot be read: ${error}`);
    }
  }

  /** Checks that each master has the same entries with the same attributes at the newest index. */
  async #compareMembers(fileSystem: FileSystem, directories: readonly string[]): Promise<void> {
    const { index } = await fileSystem.status();
    const digests = new Map<string, string[]>();
    for (const member of this.#cluster.masters) {
      const hash = createHash("sha256");
      for (const path of directories) hash.update(await this.#listing(member.address, path, index));
      const digest = hash.digest("hex");
      digests.set(digest, [...(digests.get(digest) ?? []), member.name]);
    }
    if (digests.size === 1) return;
    const parties = [...digests.values()].map((names) => names.join(", ")).join(" against ");
    this.#journal.violation(`the masters differ at index ${index}: ${parties}`);
  }

  async #listing(address: string, path: string, index: LogIndex): Promise<string> {
    const read = { kind: "session", index } as const;
    const request = { target: { path: Buffer.from(path) }, read, limit: 10_000 };
    const options = { timeoutMs: CALL_TIMEOUT_MS };
    const received = await this.#pool.call(address, list, request, options);
    try {
      return JSON.stringify(received.head.entries);
    } finally {
      received.release();
    }
  }
}

/** Returns a pool of connections to single masters. The client library would use the leader. */
function memberPool(): ConnectionPool {
  const deps = {
    clock: new SystemClock(),
    random: new SystemRandom(),
    network: new TcpNetwork(),
    hasher: createHasher().hasher,
    log: createLog({ to: "stderr", level: "silent" }),
    metrics: new PrometheusMetrics(),
    slabs: new SlabPool({ bytesMax: 64 * MIB, idleBytesMax: 8 * MIB }),
  };
  const identity = () => ({ role: "client", clusterId: null, name: "audit" }) as const;
  return new ConnectionPool(deps, { identity, role: "master" });
}
