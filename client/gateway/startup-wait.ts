import type { ClusterId } from "../../shared/base/ids.ts";
import type { Env } from "../../shared/ports/env.ts";
import { probeMasters } from "../masters/probe-masters.ts";
import { describeMaster, waitReason } from "../masters/probe-text.ts";

/** A start that takes longer says what it waits for. With one probe, the line comes within 2 s. */
const REPORT_AFTER_MS = 750;
const PROBE_TIMEOUT_MS = 450;
/** The line is repeated after this time. */
const REPORT_INTERVAL_MS = 10_000;

/** The cluster that the gateway waits for. */
export interface AwaitedCluster {
  readonly masters: readonly string[];
  readonly clusterId: string | null;
}

/**
 * Runs `connect`. While it waits for the masters, the log says so, with the state of each master: the
 * gateway can be started before the masters, and a wrong address must not look like that.
 */
export async function whileReporting<Result>(
  env: Env,
  cluster: AwaitedCluster,
  connect: () => Promise<Result>,
): Promise<Result> {
  const connected = new AbortController();
  const reporting = report(env, cluster, connected.signal);
  try {
    return await connect();
  } finally {
    connected.abort();
    await reporting;
  }
}

async function report(env: Env, cluster: AwaitedCluster, ended: AbortSignal): Promise<void> {
  const { clock, log } = env;
  const startMs = clock.monotonicMs();
  const options = { clusterId: cluster.clusterId as ClusterId | null, timeoutMs: PROBE_TIMEOUT_MS };
  for (let delayMs = REPORT_AFTER_MS; ; delayMs = REPORT_INTERVAL_MS) {
    await clock.sleep(delayMs, ended).catch(() => {});
    if (ended.aborted) return;
    const probe = await probeMasters(env, cluster.masters, options);
    if (ended.aborted) return;
    log.warn("Waiting for the masters", {
      reason: waitReason(probe),
      masters: probe.masters.map(describeMaster),
      waitedMs: Math.round(clock.monotonicMs() - startMs),
    });
  }
}
