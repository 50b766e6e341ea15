import {
  LeaderServices,
  type LeaderServicesOptions,
} from "../../../master/fleet/leader-services.ts";
import { quietLog } from "../../../shared/platform/quiet.ts";
import { SystemClock } from "../../../shared/platform/system-clock.ts";
import type { AloneContext } from "../bench-context.ts";
import { atMost } from "../measurement.ts";
import { LoneMaster } from "./lone-master.ts";

const suite = "reclaim";
const CALLERS = 64;
/** Retention of the history: the backlog has at least the files of this time. */
const RETENTION_MS = 5_000;
/** Rows of the reclaim queue of a removed file. */
const ROWS_PER_FILE = 1;
const SAMPLES = 30;
/** Most growth of the backlog from the second third of the time to the last one. */
const GROWTH_MAX = 1.2;

/** One part of the run. */
interface Sample {
  readonly filesPerSecond: number;
  /** Rows of the reclaim queue at the end of the part. */
  readonly rows: number;
}

/**
 * Creates and unlinks files at the highest rate of one master, whose leader reclaims them meanwhile, and reports
 * whether the backlog grows.
 */
export async function measureBacklog({ work, seconds, report }: AloneContext): Promise<void> {
  const clock = new SystemClock();
  await using master = await LoneMaster.found(work, RETENTION_MS);
  const startMs = master.nowMs - clock.monotonicMs();
  const nowMs = (): number => startMs + clock.monotonicMs();
  await using services = new LeaderServices(servicesOf(master, clock, nowMs));
  services.start();
  const samples: Sample[] = [];
  for (let index = 0; index < SAMPLES; index += 1) {
    samples.push(await sample(master, nowMs, { name: index, ms: (seconds * 1_000) / SAMPLES }));
  }
  const third = SAMPLES / 3;
  const [middle, last] = [samples.slice(third, 2 * third), samples.slice(2 * third)];
  report({ suite, name: "create and unlink, rate", value: rateOf(last), unit: "files/s" });
  const growth = backlogSeconds(last) / backlogSeconds(middle);
  report({ suite, name: "backlog, middle third", value: backlogSeconds(middle), unit: "s" });
  report({ suite, name: "backlog, last third", value: backlogSeconds(last), unit: "s" });
  report(atMost({ suite, name: "backlog, growth", value: growth, unit: "", bound: GROWTH_MAX }));
}

async function sample(
  master: LoneMaster,
  nowMs: () => number,
  { name, ms }: { readonly name: number; readonly ms: number },
): Promise<Sample> {
  const startMs = nowMs();
  let files = 0;
  for (; nowMs() < startMs + ms; files += CALLERS) {
    master.nowMs = nowMs();
    const targets = Array.from({ length: CALLERS }, (_, index) => ({
      path: new TextEncoder().encode(`/${name}-${files + index}`),
    }));
    const attributes = { mode: 0o644, uid: 1000, gid: 1000 };
    await master.transactEach(targets.map((target) => ({ kind: "create", target, ...attributes })));
    await master.transactEach(targets.map((target) => ({ kind: "unlink", target })));
  }
  const filesPerSecond = (files * 1_000) / (nowMs() - startMs);
  return { filesPerSecond, rows: master.namespace.counters().historyVersions };
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;
const rateOf = (samples: readonly Sample[]): number =>
  mean(samples.map(({ filesPerSecond }) => filesPerSecond));
/** Returns the backlog as the time in which as many files are removed. */
const backlogSeconds = (samples: readonly Sample[]): number =>
  mean(samples.map(({ rows }) => rows)) / ROWS_PER_FILE / rateOf(samples);

/** Returns the services of the leader, without chunkservers and without sessions that expire. */
function servicesOf(
  master: LoneMaster,
  clock: SystemClock,
  nowMs: () => number,
): LeaderServicesOptions {
  const none = (): void => {};
  const services: { readonly [Key in keyof LeaderServicesOptions]?: unknown } = {
    env: { clock, log: quietLog },
    consensus: master.driver,
    state: () => master.namespace,
    propose: (command: Parameters<LoneMaster["propose"]>[0]) => master.propose(command),
    nowMs,
    clock: { prepare: async () => {} },
    registry: { beginTerm: none },
    repair: { reset: none, step: none },
    sessions: { reset: none, addKnown: none, expired: () => [] },
    upgrade: { isPossible: false },
    historyVersionsMax: 10_000_000,
  };
  return services as LeaderServicesOptions;
}
