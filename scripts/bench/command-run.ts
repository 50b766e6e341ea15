import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The launcher of the product, relative to this file in dist/scripts/bench. */
export const LAUNCHER = fileURLToPath(new URL("../../../scripts/ashlar.cjs", import.meta.url));

/** Clock ticks per second in /proc: USER_HZ, which is 100 on Linux. */
const TICKS_PER_SECOND = 100;
/** Positions of `cutime` and `cstime` in /proc/PID/stat after the name, see proc(5). */
const CHILD_TICKS = [13, 14];

/** Cost of one process, from its start to its end. */
export interface CommandRun {
  readonly wallMs: number;
  /** Processor time in user and kernel mode, in steps of 10 ms. */
  readonly cpuMs: number;
  readonly stdout: Buffer;
}

/** Runs `node` to its end. @throws if its exit status is not 0 */
export function runNode(nodeArguments: readonly string[], cluster: string): CommandRun {
  const cpuBeforeMs = childCpuMs();
  const startMs = performance.now();
  const { status, stdout, stderr } = spawnSync(process.execPath, nodeArguments, {
    env: { ...process.env, ASHLAR_CLUSTER: cluster },
    maxBuffer: Number.POSITIVE_INFINITY,
  });
  const wallMs = performance.now() - startMs;
  if (status !== 0) throw new Error(`node ${nodeArguments.join(" ")}: ${stderr}`);
  return { wallMs, cpuMs: childCpuMs() - cpuBeforeMs, stdout };
}

/** Processor time of all children that have ended. */
function childCpuMs(): number {
  const stat = readFileSync("/proc/self/stat", "latin1");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = CHILD_TICKS.reduce((sum, position) => sum + Number(fields[position]), 0);
  return (ticks * 1000) / TICKS_PER_SECOND;
}
