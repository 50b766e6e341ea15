import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { LocalCluster } from "../../../client/cli/cluster/local-cluster.ts";
import type { ClusterId } from "../../../shared/base/ids.ts";
import { readProcessStat } from "../../../shared/platform/procfs.ts";
import type { Located } from "../../../shared/protocol/namespace-api.ts";
import type { BareAnswer } from "./bare-responder-process.ts";

const PROGRAM = fileURLToPath(new URL("./bare-responder-process.js", import.meta.url));

/**
 * A process that answers each `locate` with the same answer: the wire of a master without a state. Its
 * rate is the limit of this machine and of the callers.
 */
export class BareResponder implements AsyncDisposable {
  readonly cluster: Pick<LocalCluster, "clusterId" | "masters">;
  readonly #process: ChildProcess;

  private constructor(process: ChildProcess, cluster: BareResponder["cluster"]) {
    this.#process = process;
    this.cluster = cluster;
  }

  static async start(clusterId: string, located: Located): Promise<BareResponder> {
    const child = fork(PROGRAM, { serialization: "advanced" });
    const started = once(child, "message");
    child.send({ clusterId: clusterId as ClusterId, located } satisfies BareAnswer);
    const [address] = await started;
    return new BareResponder(child, { clusterId, masters: [address] });
  }

  /** CPU time so far. */
  get cpuSeconds(): number {
    return readProcessStat(this.#process.pid ?? 0)?.cpuSeconds ?? Number.NaN;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#process, "exit");
    this.#process.disconnect();
    await ended;
  }
}
