import { connect } from "../../../client/connect.ts";
import type { FileSystem } from "../../../client/file-system.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { ProcessRun } from "./simulated-process.ts";
import { SimulatedProcess } from "./simulated-process.ts";
import { CLUSTER_ID } from "./simulated-servers.ts";
import type { SimulationEnvironment } from "./simulation-environment.ts";

/** Timeout of one call, including its retries. */
export const CALL_TIMEOUT_MS = 15_000;
const CONNECT_RETRY_MS = 300;

/** A process with a connected client library. */
export type SimulatedClient = SimulatedProcess<FileSystem>;

/** Makes a process that uses the client library. It connects each time it starts. */
export function makeClient(
  environment: SimulationEnvironment,
  host: string,
  options: {
    /** Returns the master addresses of its config. Called for each attempt to connect. */
    readonly masters: () => readonly string[];
    /** Called in each run of the process, when it is connected. */
    readonly onConnected: (run: ProcessRun, fs: FileSystem) => void;
  },
): SimulatedClient {
  const { masters, onConnected } = options;
  return new SimulatedProcess(environment, host, async (run) => {
    const isWrongAnswerPossible = () =>
      environment.hadMisleadingMaster(environment.clock.monotonicMs() - CALL_TIMEOUT_MS);
    const fs = await connectWithRetries(run, { host, masters, isWrongAnswerPossible });
    onConnected(run, fs);
    return fs;
  });
}

/**
 * Connects, with retries after every retryable error. An error that is not retryable can be the
 * wrong answer of a master with a corrupt state. While such answers are possible, every error is
 * retried.
 */
async function connectWithRetries(
  { env }: ProcessRun,
  {
    host,
    masters,
    isWrongAnswerPossible,
  }: {
    readonly host: string;
    readonly masters: () => readonly string[];
    readonly isWrongAnswerPossible: () => boolean;
  },
): Promise<FileSystem> {
  for (;;) {
    try {
      return await connect({
        masters: masters(),
        clusterId: CLUSTER_ID,
        env,
        hostName: host,
        timeoutMs: CALL_TIMEOUT_MS,
      });
    } catch (error) {
      const isFinal = !isAshlarError(error) || error.retry === "never";
      if (isFinal && !isWrongAnswerPossible()) throw error;
      await env.clock.sleep(CONNECT_RETRY_MS);
    }
  }
}
