import assert from "node:assert/strict";
import type { FileSystem } from "../../../client/file-system.ts";
import {
  type CommandResult,
  type MemoryCliOptions,
  type MemoryCommandResult,
  runCli,
} from "../../support/memory-cli-env.ts";
import { TempDirectory } from "../../support/temp-directory.ts";
import { LoopbackCluster } from "./loopback-cluster.ts";

/**
 * A cluster of one master in this process, and CLI commands that use it. It stores files of up to 4
 * KiB, which the master holds. Commands run in a temporary directory.
 */
export class CliCluster implements AsyncDisposable {
  readonly #cluster: LoopbackCluster;
  readonly #directory: TempDirectory;
  readonly fs: FileSystem;

  private constructor(cluster: LoopbackCluster, directory: TempDirectory, fs: FileSystem) {
    this.#cluster = cluster;
    this.#directory = directory;
    this.fs = fs;
  }

  static async start(): Promise<CliCluster> {
    const cluster = await LoopbackCluster.start(0);
    const directory = await TempDirectory.make();
    return new CliCluster(cluster, directory, await cluster.connect());
  }

  /** The working directory of the commands. */
  get work(): string {
    return this.#directory.path;
  }

  /** The environment variables of the commands. */
  get variables(): Readonly<Record<string, string>> {
    return { ASHLAR_CLUSTER: this.#cluster.masterAddresses.join(",") };
  }

  /** Runs a command. */
  run(
    commandArguments: readonly string[],
    input: string | Uint8Array = "",
    options: MemoryCliOptions = {},
  ): Promise<MemoryCommandResult> {
    return runCli(commandArguments, {
      ...options,
      variables: this.variables,
      workingDirectory: this.work,
      input,
    });
  }

  /** Runs a command that succeeds. @returns the bytes of its output */
  async bytes(...commandArguments: string[]): Promise<Buffer> {
    const { status, stdoutBytes, stderr } = await this.run(commandArguments);
    assert.equal(status, 0, `${commandArguments.join(" ")}: ${stderr}`);
    return stdoutBytes;
  }

  /** Runs a command and checks its exit status. @returns its output and its errors */
  async exits(status: number, ...commandArguments: string[]): Promise<CommandResult> {
    const result = await this.run(commandArguments);
    const line = commandArguments.join(" ");
    assert.equal(result.status, status, `${line}: ${result.stdout}${result.stderr}`);
    return result;
  }

  /**
   * Makes files whose content is their path, and their directories. A path with a slash at its end
   * is a directory.
   */
  async make(...paths: string[]): Promise<void> {
    const directories = new Set(paths.map((path) => path.slice(0, path.lastIndexOf("/")) || "/"));
    for (const directory of directories) await this.fs.mkdir(directory, { parents: true });
    const files = paths.filter((path) => !path.endsWith("/"));
    await Promise.all(
      files.map((path) => this.fs.writeFile(path, Buffer.from(path), { replace: true })),
    );
  }

  /** Returns the files below a directory: "/path=content". */
  async files(directory: string): Promise<string[]> {
    const found: string[] = [];
    for await (const { path, attributes } of this.fs.walk(directory)) {
      if (attributes.kind !== "file") continue;
      const content = await this.fs.readFile(path);
      found.push(`${Buffer.from(path)}=${Buffer.from(content)}`);
    }
    return found.sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cluster[Symbol.asyncDispose]();
    await this.#directory[Symbol.asyncDispose]();
  }
}
