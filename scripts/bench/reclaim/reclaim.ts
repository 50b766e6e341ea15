import { join } from "node:path";
import type { Operation } from "../../../shared/protocol/namespace-api.ts";
import type { AloneContext } from "../bench-context.ts";
import { atMost } from "../measurement.ts";
import { measureBacklog } from "./backlog.ts";
import { LoneMaster } from "./lone-master.ts";

const suite = "reclaim";
const FILES = 30_000;
const FILES_PER_DIRECTORY = 1_000;
const CALLERS = 64;
/** Time between two batches by the clock of the state, which has a row for each second: 10,000 operations a second. */
const BATCH_MS = 6;
/** Most CPU of the reclaim of a file, as a share of that of its create and its unlink. */
const SHARE_MAX = 0.25;
/** As `LeaderServices`. */
const RECLAIM = { recordsMax: 2_000, versionsMax: 10_000_000 };

const RETENTION_MS = 24 * 60 * 60 * 1_000;
/** Files of the first round, which is not measured: the engine compiles what runs often. */
const WARM_UP_FILES = 10_000;

/** Measures the CPU time of the reclaim of files, and whether the backlog grows at the highest rate of changes. */
export async function measureReclaim(bench: AloneContext): Promise<void> {
  await measureCpu(bench);
  await measureBacklog({ ...bench, work: join(bench.work, "backlog") });
}

/**
 * Measures the CPU time of a whole master for files that are created, unlinked and reclaimed: the commands,
 * the log, the state and its flushes, without calls over a network.
 */
async function measureCpu({ work, report }: AloneContext): Promise<void> {
  await using master = await LoneMaster.found(join(work, "cpu"), RETENTION_MS);
  await measureRound(master, { directory: "/warm-up", files: WARM_UP_FILES, report: () => {} });
  const { created, unlinked, reclaimed } = await measureRound(master, {
    directory: "/measured",
    files: FILES,
    report,
  });
  report(
    atMost({
      suite,
      name: "reclaim, CPU as a share of create and unlink",
      value: reclaimed / (created + unlinked),
      unit: "",
      bound: SHARE_MAX,
    }),
  );
}

interface Round {
  readonly directory: string;
  readonly files: number;
  readonly report: AloneContext["report"];
}

/** Creates, unlinks and reclaims files. @returns the CPU time of each step, in µs a file */
async function measureRound(
  master: LoneMaster,
  { directory, files, report }: Round,
): Promise<{ readonly created: number; readonly unlinked: number; readonly reclaimed: number }> {
  const parentOf = (number: number): string => `${directory}-${number}`;
  const targetOf = (file: number) =>
    target(`${parentOf(Math.floor(file / FILES_PER_DIRECTORY))}/file-${file}.dat`);
  await run(master, Math.ceil(files / FILES_PER_DIRECTORY), (number) => ({
    kind: "make-directory",
    target: target(parentOf(number)),
    parents: false,
    ...OWNER,
  }));
  const measure = (name: string, step: () => Promise<unknown>): Promise<number> =>
    measureStep(master, { name, files, report }, step);
  const created = await measure("create", () =>
    run(master, files, (file) => ({ kind: "create", target: targetOf(file), ...OWNER })),
  );
  const unlinked = await measure("unlink", () =>
    run(master, files, (file) => ({ kind: "unlink", target: targetOf(file) })),
  );
  // A later entry records the time after the last unlink.
  master.nowMs += 1_000;
  await run(master, 1, () => ({
    kind: "make-directory",
    target: target(`${directory}-end`),
    parents: false,
    ...OWNER,
  }));
  master.nowMs += 2 * RETENTION_MS;
  const reclaimed = await measure("reclaim", async () => {
    while (master.namespace.reclaimPending(master.nowMs, RECLAIM.versionsMax)) {
      await master.propose({ kind: "reclaim", nowMs: master.nowMs, ...RECLAIM });
    }
  });
  return { created, unlinked, reclaimed };
}

/** Reports the CPU time of a step and its rows of the store, for each file. @returns the CPU time in µs */
async function measureStep(
  master: LoneMaster,
  { name, files, report }: { readonly name: string } & Pick<Round, "files" | "report">,
  step: () => Promise<unknown>,
): Promise<number> {
  await master.flush();
  const before = { cpu: process.cpuUsage(), rows: master.stores.counts };
  await step();
  await master.flush();
  const { user, system } = process.cpuUsage(before.cpu);
  const micros = (user + system) / files;
  report({ suite, name: `${name}, CPU`, value: micros, unit: "us/file" });
  const rows = master.stores.counts;
  for (const [key, what] of ROWS) {
    const value = (rows[key] - before.rows[key]) / files;
    report({ suite, name: `${name}, rows ${what}`, value, unit: "/file" });
  }
  return micros;
}

const ROWS = [
  ["reads", "read by key"],
  ["rangeRows", "read in ranges"],
  ["writes", "written"],
  ["deletes", "deleted"],
] as const;

const OWNER = { mode: 0o644, uid: 1000, gid: 1000 } as const;
const target = (path: string) => ({ path: new TextEncoder().encode(path) });

/** Runs operations with CALLERS callers. */
async function run(
  master: LoneMaster,
  count: number,
  operationOf: (index: number) => Operation,
): Promise<void> {
  for (let start = 0; start < count; start += CALLERS) {
    const size = Math.min(CALLERS, count - start);
    await master.transactEach(
      Array.from({ length: size }, (_, index) => operationOf(start + index)),
    );
    master.nowMs += BATCH_MS;
  }
}
