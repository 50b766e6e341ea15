import assert from "node:assert/strict";
import { type ChildProcessWithoutNullStreams, execFile, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LocalCluster, type UpOptions } from "../../client/cli/cluster/local-cluster.ts";
import { connect } from "../../client/connect.ts";
import type { FileSystem } from "../../client/file-system.ts";
import { type CommandResult, runCli } from "./memory-cli-env.ts";
import { ROOT } from "./repository.ts";

/** The launcher script: tests run the product as users do. */
export const LAUNCHER = join(ROOT, "scripts/ashlar");

/** Limit for the start of a cluster. */
export const UP_TIMEOUT_MS = 60_000;
/** Limit for all repairs after a fault. */
export const HEAL_TIMEOUT_MS = 60_000;

/** A cluster of real processes on loopback, in a directory that is removed with them. */
export class StartedCluster implements AsyncDisposable {
  readonly cluster: LocalCluster;
  readonly fileSystem: FileSystem;
  /** Directory for local files of the test. */
  readonly work: string;

  readonly #end: () => Promise<void>;

  private constructor(
    cluster: LocalCluster,
    options: { fileSystem: FileSystem; work: string; end: () => Promise<void> },
  ) {
    this.cluster = cluster;
    this.fileSystem = options.fileSystem;
    this.work = options.work;
    this.#end = options.end;
  }

  static async start(options: Partial<UpOptions> = {}): Promise<StartedCluster> {
    const work = await mkdtemp(join(tmpdir(), "ashlar-test-"));
    const cluster = await LocalCluster.up({
      directory: join(work, "cluster"),
      masters: 3,
      chunkservers: 4,
      basePort: 0,
      timeoutMs: UP_TIMEOUT_MS,
      ...options,
    });
    const fileSystem = await connect(cluster);
    const end = async (): Promise<void> => {
      await fileSystem[Symbol.asyncDispose]();
      await cluster.down();
    };
    return new StartedCluster(cluster, { fileSystem, work, end });
  }

  /**
   * Uses a running cluster, which disposing the result does not stop. `end` is called before the
   * client closes.
   */
  static async over(
    cluster: LocalCluster,
    end: (fileSystem: FileSystem) => Promise<void>,
  ): Promise<StartedCluster> {
    const work = await mkdtemp(join(tmpdir(), "ashlar-test-"));
    const fileSystem = await connect(cluster);
    const endAndClose = async (): Promise<void> => {
      await end(fileSystem);
      await fileSystem[Symbol.asyncDispose]();
    };
    return new StartedCluster(cluster, { fileSystem, work, end: endAndClose });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
    await rm(this.work, { recursive: true, force: true });
  }

  /** Environment variables of a CLI command that uses this cluster. */
  get variables(): Readonly<Record<string, string>> {
    return { ASHLAR_CLUSTER: this.cluster.directory };
  }

  /** Runs a CLI command on this cluster in this process. The working directory is `work`. */
  run(...commandArguments: string[]): Promise<CommandResult> {
    return this.runWithInput("", ...commandArguments);
  }

  /** As `run`, with `input` on standard input. */
  runWithInput(input: string | Uint8Array, ...commandArguments: string[]): Promise<CommandResult> {
    const { variables, work } = this;
    return runCli(commandArguments, { variables, workingDirectory: work, input });
  }

  /** As `run`, for a command that must succeed. @returns stdout */
  async ok(...commandArguments: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.run(...commandArguments);
    assert.equal(status, 0, `ashlar ${commandArguments.join(" ")}: ${stderr}`);
    return stdout;
  }

  /** As `run`, for a command that must exit with `status`. @returns stderr */
  async fails(status: number, ...commandArguments: string[]): Promise<string> {
    const result = await this.run(...commandArguments);
    assert.equal(result.status, status, `ashlar ${commandArguments.join(" ")}: ${result.stderr}`);
    return result.stderr;
  }

  /** Starts a CLI command on this cluster as a process. The working directory is `work`. */
  start(...commandArguments: string[]): ChildProcessWithoutNullStreams {
    return spawn(process.execPath, [LAUNCHER, ...commandArguments], {
      cwd: this.work,
      env: { ...process.env, ...this.variables },
    });
  }

  /** Returns the node name of the leader. */
  async leaderName(): Promise<string> {
    const { masters } = await this.fileSystem.status();
    const leader = masters.find((master) => master.role === "leader");
    const node = this.cluster.nodes.find((each) => each.address === leader?.address);
    if (node === undefined) throw new Error("The cluster status has no leader");
    return node.name;
  }

  /** Resolves when all processes run and every chunk has all its replicas. */
  async waitUntilHealthy(): Promise<void> {
    await this.cluster.waitUntil(
      ({ health }) => (health.word === "ok" ? null : health.reasons.join("; ")),
      { timeoutMs: HEAL_TIMEOUT_MS },
    );
  }

  /** Returns the data directory of a node. */
  dataDirectoryOf(node: string): string {
    return join(this.cluster.directory, node, "data");
  }
}

/**
 * Runs the launcher. Resolves when it has exited. `environment` is added to the environment of this
 * process.
 */
export function runAshlar(
  commandArguments: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<CommandResult> {
  return new Promise((resolve) => {
    const options = {
      env: { ...process.env, ...environment },
      maxBuffer: 64 * 1024 * 1024,
      encoding: "utf8",
    } as const;
    execFile(
      process.execPath,
      [LAUNCHER, ...commandArguments],
      options,
      (error, stdout, stderr) => {
        const status = error === null ? 0 : Number((error as { code?: unknown }).code ?? -1);
        resolve({ status, stdout, stderr });
      },
    );
  });
}
