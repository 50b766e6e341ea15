import { connect } from "../../../client/connect.ts";
import type { FileSystem } from "../../../client/file-system.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { Life } from "./simulated-process.ts";
import { SimulatedProcess } from "./simulated-process.ts";
import { CLUSTER_ID } from "./simulated-servers.ts";
import type { World } from "./simulation-environment.ts";

/** One call, with all its retries. */
export const CALL_TIMEOUT_MS = 15_000;
const CONNECT_AGAIN_MS = 300;

export type SimulatedClient = SimulatedProcess<FileSystem>;

/** A program that uses the library; `begin` is what it does in each of its lives. */
export function makeClient(
  world: World,
  host: string,
  options: {
    /** Those that its config names when it starts. */
    readonly masters: () => readonly string[];
    readonly begin: (life: Life, fs: FileSystem) => void;
  },
): SimulatedClient {
  const { masters, begin } = options;
  return new SimulatedProcess(world, host, async (life) => {
    const isMisled = () => world.wasMisled(world.clock.monotonicMs() - CALL_TIMEOUT_MS);
    const fs = await connectPatiently(life, { host, masters, isMisled });
    begin(life, fs);
    return fs;
  });
}

async function connectPatiently(
  { env }: Life,
  {
    host,
    masters,
    isMisled,
  }: {
    readonly host: string;
    readonly masters: () => readonly string[];
    readonly isMisled: () => boolean;
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
      if (isFinal && !isMisled()) throw error;
      await env.clock.sleep(CONNECT_AGAIN_MS);
    }
  }
}
