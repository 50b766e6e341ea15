import assert from "node:assert/strict";
import type { FileSystem } from "../../../client/file-system.ts";
import { type CommandResult, type MemoryCliOptions, runCli } from "../../support/memory-cli-env.ts";
import { TempDirectory } from "../../support/temp-directory.ts";
import type { LoopbackCluster } from "./loopback-cluster.ts";

/** An empty local directory and an empty cluster, for the CLI commands of one test. */
export class CliWork implements AsyncDisposable {
  readonly #directory: TempDirectory;
  readonly #variables: Readonly<Record<string, string>>;

  private constructor(cluster: LoopbackCluster, directory: TempDirectory) {
    this.#directory = directory;
    this.#variables = { ASHLAR_CLUSTER: cluster.masterAddresses.join(",") };
  }

  /** Removes everything in the cluster. */
  static async make(cluster: LoopbackCluster, fileSystem: FileSystem): Promise<CliWork> {
    for await (const { name } of fileSystem.list("/")) {
      await fileSystem.removeTree(Buffer.concat([Buffer.from("/"), name]));
    }
    return new CliWork(cluster, await TempDirectory.make());
  }

  /** The working directory of the commands. */
  get path(): string {
    return this.#directory.path;
  }

  run(commandArguments: readonly string[], options: MemoryCliOptions = {}): Promise<CommandResult> {
    const variables = this.#variables;
    return runCli(commandArguments, { workingDirectory: this.path, variables, ...options });
  }

  /** Runs a command that must succeed. */
  ok(...commandArguments: string[]): Promise<CommandResult> {
    return this.fails(0, /(?:)/, ...commandArguments);
  }

  /** Runs a command and checks its exit status and its message. */
  async fails(
    status: number,
    message: RegExp,
    ...commandArguments: string[]
  ): Promise<CommandResult> {
    const result = await this.run(commandArguments);
    assert.equal(result.status, status, `${commandArguments.join(" ")}: ${result.stderr}`);
    assert.match(result.stderr, message);
    return result;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#directory[Symbol.asyncDispose]();
  }
}
