import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { appendFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { toHex } from "../../shared/base/bytes.ts";
import { SlabPool } from "../../shared/flow/slabs.ts";
import { readClusterFile } from "../../shared/platform/local-cluster-file.ts";
import { quietLog } from "../../shared/platform/quiet.ts";
import { SystemClock } from "../../shared/platform/system-clock.ts";
import { SystemRandom } from "../../shared/platform/system-random.ts";
import { TcpNetwork } from "../../shared/platform/tcp-network.ts";
import { memberStatus } from "../../shared/protocol/fleet-api.ts";
import { ConnectionPool } from "../../shared/wire/connection-pool.ts";

/** The version of a program: 0.1.0, or that of this tree. */
export type Version = "old" | "new";

/** The parameters of a run. */
export interface MixedRun {
  /** The command line of each version. */
  readonly launchers: Readonly<Record<Version, string>>;
  /** Directory for all files. The config of the user is not read. */
  readonly work: string;
  /** Ends the commands. */
  readonly signal: AbortSignal;
}

/** Result of a command that ended. */
export interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The keys of `ashlar status --json` that are used here. */
export interface Status {
  readonly health: { readonly word: string; readonly reasons: readonly string[] };
  readonly feature_level: { readonly current: number; readonly supported: number } | null;
  readonly chunkservers: readonly {
    readonly address: string;
    readonly state: string;
    readonly chunk_count: number;
    readonly capabilities: readonly string[] | null;
  }[];
  readonly namespace: {
    readonly chunks_under_replicated: number;
    readonly chunks_lost: number;
  };
}

const WAIT_MS = 60_000;
const POLL_MS = 250;
const COMMAND_MS_MAX = 120_000;
/** The masters compare the hashes of their states in this interval. */
const CHECKPOINT_MS = 1_000;
const CALL_TIMEOUT_MS = 5_000;
const MIB = 1024 * 1024;

const DEPS = {
  network: new TcpNetwork(),
  clock: new SystemClock(),
  random: new SystemRandom(),
  log: quietLog,
  slabs: new SlabPool({ bytesMax: MIB }),
};

/**
 * A local cluster in `directory`, whose nodes are started by the command line of one version or the other. A
 * process has the version of the command that started it.
 */
export class MixedCluster {
  readonly directory: string;
  readonly #run: MixedRun;

  constructor(run: MixedRun, name: string) {
    this.#run = run;
    this.directory = join(run.work, name);
  }

  /** Runs a command to its end. Rejects if the run was interrupted. */
  run(version: Version, ...words: string[]): Promise<Ended> {
    return this.#spawn(version, words, this.#run.signal);
  }

  #spawn(version: Version, words: readonly string[], signal?: AbortSignal): Promise<Ended> {
    const { launchers, work } = this.#run;
    const env = { PATH: process.env["PATH"], HOME: work, ASHLAR_CLUSTER: this.directory };
    return new Promise((resolve, reject) => {
      const child = spawn(process.execPath, [launchers[version], ...words], {
        ...(signal === undefined ? {} : { signal }),
        cwd: work,
        env,
        stdio: ["ignore", "pipe", "pipe"],
        timeout: COMMAND_MS_MAX,
      });
      const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []];
      child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
      child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
      child.once("error", reject);
      child.once("close", (code) => {
        const text = (parts: Buffer[]) => Buffer.concat(parts).toString();
        resolve({ status: code ?? 1, stdout: text(stdout), stderr: text(stderr) });
      });
    });
  }

  /** Runs a command that must succeed. @returns its standard output */
  async succeed(version: Version, ...words: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.run(version, ...words);
    if (status === 0) return stdout;
    const command = `ashlar ${words.join(" ")}`;
    throw new Error(`${command} of the ${version} version: status ${status}: ${stderr || stdout}`);
  }

  /** Runs a command that must fail with a message that matches `message`. */
  async refuse(version: Version, message: RegExp, ...words: string[]): Promise<void> {
    const { status, stderr } = await this.run(version, ...words);
    if (status !== 0 && message.test(stderr)) return;
    const command = `ashlar ${words.join(" ")}`;
    throw new Error(
      `${command} of the ${version} version: expected a refusal that matches ${message}: status ${status}: ${stderr}`,
    );
  }

  /** Creates the cluster, with short intervals of the checkpoints, and waits until it serves. */
  async create(version: Version, masters: number, chunkservers: number): Promise<void> {
    const counts = ["--masters", String(masters), "--chunkservers", String(chunkservers)];
    await this.#up(version, ...counts, "--base-port", "0");
    await this.down();
    for (let number = 1; number <= masters; number += 1) {
      const config = join(this.directory, `m${number}`, "config.toml");
      await appendFile(config, `\ncheckpointIntervalMs = ${CHECKPOINT_MS}\n`);
    }
    await this.#up(version);
  }

  async #up(version: Version, ...words: string[]): Promise<void> {
    await this.succeed(version, "cluster", "up", "--dir", this.directory, ...words);
    await this.waitUntilOk();
  }

  /** Starts a node as a process of the given version. */
  async start(version: Version, name: string): Promise<void> {
    await this.succeed(version, "cluster", "start", "--dir", this.directory, name);
  }

  /** Sends a signal to a node. For TERM and KILL it resolves when the process has ended. */
  async signal(name: string, signal: "TERM" | "KILL"): Promise<void> {
    await this.succeed("new", "cluster", "kill", "--dir", this.directory, "--signal", signal, name);
  }

  /** Stops a node and starts it in the given version. Resolves when the cluster is whole. */
  async replace(version: Version, name: string): Promise<void> {
    await this.signal(name, "TERM");
    await this.start(version, name);
    await this.waitUntilOk();
  }

  async add(version: Version, role: "master" | "chunkserver"): Promise<void> {
    await this.succeed(version, "cluster", "add", "--dir", this.directory, role);
  }

  /** Stops all processes, also of an interrupted run. */
  async down(): Promise<void> {
    if ((await readClusterFile(this.directory)) === null) return;
    const { status, stderr } = await this.#spawn("new", [
      "cluster",
      "down",
      "--dir",
      this.directory,
    ]);
    if (status !== 0) throw new Error(`Cannot stop the processes: ${stderr}`);
  }

  /** Waits until the log of a node has a line that matches. */
  async expectLog(name: string, line: RegExp): Promise<void> {
    const path = join(this.directory, name, "log");
    await this.waitUntil(`${path} has ${line}`, () =>
      line.test(readFileSync(path, "utf8")) ? null : "no such line",
    );
  }

  async status(): Promise<Status> {
    const { status, stdout, stderr } = await this.run("new", "status", "--json");
    if (status > 1) throw new Error(`ashlar status: status ${status}: ${stderr}`);
    return JSON.parse(stdout) as Status;
  }

  async waitUntilOk(): Promise<void> {
    await this.waitUntil("the cluster is ok", ({ health }) =>
      health.word === "ok" ? null : `${health.word}: ${health.reasons.join("; ")}`,
    );
  }

  /** Polls the status until `problem` returns null. */
  async waitUntil(name: string, problem: (status: Status) => string | null): Promise<void> {
    const endMs = performance.now() + WAIT_MS;
    let last = "";
    while (performance.now() < endMs) {
      try {
        const found = problem(await this.status());
        if (found === null) return;
        last = found;
      } catch (error) {
        last = (error as Error).message;
      }
      await sleep(POLL_MS);
    }
    throw new Error(`Not within ${WAIT_MS / 1_000} s: ${name}: ${last}`);
  }

  /**
   * Waits until all masters have recorded a checkpoint of the same index, not below that of the moment of the call,
   * and compares its hashes.
   */
  async compareStates(): Promise<void> {
    const file = await readClusterFile(this.directory);
    const masters = (file?.nodes ?? []).filter(({ role }) => role === "master");
    const identity = () => ({ role: "client", clusterId: null, name: "test:mixed" }) as const;
    await using pool = new ConnectionPool(DEPS, { identity, role: "master", limits: {} });
    const ask = async (address: string) => {
      const options = { timeoutMs: CALL_TIMEOUT_MS };
      const received = await pool.call(address, memberStatus, {}, options);
      received.release();
      return received.head;
    };
    const addresses = masters.map(({ address }) => address);
    const before = await Promise.all(addresses.map(ask));
    const index = Math.max(...before.map(({ member }) => member.appliedIndex));
    const endMs = performance.now() + WAIT_MS;
    while (performance.now() < endMs) {
      const heads = await Promise.all(addresses.map(ask));
      const marks = heads.map(({ state }) => {
        const recent = (state?.marks ?? []).filter((mark) => mark.index >= index);
        return new Map(recent.map((mark) => [mark.index, toHex(mark.stateHash)]));
      });
      const common = [...(marks[0]?.keys() ?? [])].filter((key) => marks.every((m) => m.has(key)));
      for (const key of common) {
        const hashes = marks.map((each) => each.get(key));
        if (hashes.every((hash) => isDeepStrictEqual(hash, hashes[0]))) continue;
        throw new Error(`The states of the masters differ at index ${key}: ${hashes.join(", ")}`);
      }
      if (common.length > 0) return;
      // Without a new entry the leader proposes no checkpoint.
      await this.succeed("new", "touch", "/.checkpoint");
      await sleep(POLL_MS);
    }
    throw new Error(
      `No checkpoint of all masters after index ${index} within ${WAIT_MS / 1_000} s`,
    );
  }
}
