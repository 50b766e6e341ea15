import { join } from "node:path";
import { BareChain } from "./bare-chain.ts";
import type { BenchContext } from "./bench-context.ts";
import { EtcdPeer } from "./etcd.ts";
import { atLeast, type Measurement } from "./measurement.ts";
import { type Run, runMany } from "./rates.ts";

const suite = "meta";
const unit = "ops/s";

/**
 * Results of MooseFS 3.0.117 on this kind of machine, with 1 and 8 threads. All changes synced,
 * stats from a cold cache.
 */
const MOOSEFS = { create: { 1: 1_874, 8: 1_630 }, stat: { 1: 13_868, 8: 8_747 } };

const LOADS = [
  { parallel: 1, count: 4_000 },
  { parallel: 8, count: 10_000 },
  { parallel: 64, count: 40_000 },
] as const;

/** Number of turns in which two compared systems alternate. */
const TURNS = 10;

/** Measures durable creates and linearizable stats per second from one client process. */
export async function measureMetadata(bench: BenchContext): Promise<void> {
  const { fileSystem } = bench;
  await warmUp(bench);
  for (const { parallel, count } of LOADS) {
    const directory = `/meta-${parallel}`;
    await fileSystem.mkdir(directory);
    const load = { count, parallel };
    const creates = await runMetered(bench, load, (index) =>
      fileSystem.create(`${directory}/${index}`),
    );
    reportRun(bench, `create, ${parallel} in parallel`, creates, {
      peer: peerOf(MOOSEFS.create, parallel),
    });
    if (parallel === 1) {
      const name = "create alone, median";
      bench.report({ suite, name, value: creates.medianMs, unit: "ms" });
    }
    const stats = await runMetered(bench, load, (index) =>
      fileSystem.stat(`${directory}/${index}`),
    );
    reportRun(bench, `stat, ${parallel} in parallel`, stats, {
      peer: peerOf(MOOSEFS.stat, parallel),
    });
  }
  await measureAgainstBareChain(bench);
  await measureAgainstEtcd(bench);
}

/**
 * Runs the first tens of thousands of calls without a measurement. These calls are slower, because
 * the processes still compile their code.
 */
async function warmUp({ fileSystem }: BenchContext): Promise<void> {
  await fileSystem.mkdir("/warm-up");
  const load = { count: 60_000, parallel: 64 };
  await runMany(load, (index) => fileSystem.create(`/warm-up/${index}`));
  await runMany(load, (index) => fileSystem.stat(`/warm-up/${index}`));
}

/** Share of the rate of a bare chain that creates and stats should reach. */
const CHAIN_SHARE = 0.75;

/** Compares creates and stats with bare chains, which show the limit of the machine. */
async function measureAgainstBareChain({ fileSystem, work, report }: BenchContext): Promise<void> {
  await using durable = await BareChain.start({ work: join(work, "chain"), isDurable: true });
  await using responder = await BareChain.start({ work, isDurable: false });
  await fileSystem.mkdir("/chain");
  const create = (index: number) => fileSystem.create(`/chain/${index}`);
  const stat = (index: number) => fileSystem.stat(`/chain/${index % 1_000}`);
  for (const { name, parallel, count, ours, chain } of [
    { name: "create", parallel: 1, count: 3_000, ours: create, chain: durable },
    { name: "create", parallel: 64, count: 30_000, ours: create, chain: durable },
    { name: "stat", parallel: 64, count: 100_000, ours: stat, chain: responder },
  ]) {
    // The creates of one caller and of 64 callers have names of their own.
    const first = parallel * 1_000_000;
    const isCreate = name === "create";
    const rates = await runInTurns({ count, parallel }, [
      (index) => ours(isCreate && parallel > 1 ? first + index : index),
      () => chain.call(),
    ]);
    reportRate(
      { report },
      `${name} in turns with a bare chain, ${parallel} in parallel`,
      rates.ours,
      {
        bound: CHAIN_SHARE * rates.theirs,
        peer: { name: "bare chain", value: rates.theirs },
      },
    );
  }
}

/** Compares creates with etcd puts of 256 bytes, at the same time and on the same disk. */
async function measureAgainstEtcd(bench: BenchContext): Promise<void> {
  const { fileSystem, work } = bench;
  await using etcd = await EtcdPeer.start(join(work, "etcd"));
  if (etcd === null) {
    process.stderr.write("etcd is not installed (apt-get install etcd-server): no comparison\n");
    return;
  }
  for (const [parallel, count] of [
    [1, 1_500],
    [16, 8_000],
    [256, 20_000],
  ] as const) {
    const directory = `/etcd-${parallel}`;
    await fileSystem.mkdir(directory);
    const { ours, theirs } = await runInTurns({ count, parallel }, [
      (index) => fileSystem.create(`${directory}/${index}`),
      (index) => etcd.put(`${directory}/${index}`),
    ]);
    reportRate(bench, `create in turns with etcd, ${parallel} in parallel`, ours, {
      bound: theirs,
      peer: { name: "etcd", value: theirs },
    });
  }
}

type Task = (index: number) => Promise<unknown>;

interface MeteredRun extends Run {
  /** Processor time of one task in µs, summed over the client and all processes of the cluster. */
  readonly cpuMicros: number;
}

async function runMetered(
  bench: BenchContext,
  load: { readonly count: number; readonly parallel: number },
  task: Task,
): Promise<MeteredRun> {
  const cpuBefore = bench.cpu.seconds();
  const run = await runMany(load, task);
  const cpuSeconds = bench.cpu.seconds() - cpuBefore;
  return { ...run, cpuMicros: (cpuSeconds * 1_000_000) / load.count };
}

/** Reports the rate and the processor time, which limits the rate of processes on one machine. */
function reportRun(
  bench: BenchContext,
  name: string,
  run: MeteredRun,
  reference: Parameters<typeof reportRate>[3],
): void {
  reportRate(bench, name, run.rate, reference);
  bench.report({
    suite,
    name: `${name}, CPU of all processes`,
    value: run.cpuMicros,
    unit: "CPU-µs",
  });
}

/**
 * Returns the rates of two tasks. Each task runs `count` times in total. The parts of the tasks
 * alternate, because the speed of a shared machine changes from second to second.
 */
async function runInTurns(
  { count, parallel }: { readonly count: number; readonly parallel: number },
  [our, their]: readonly [Task, Task],
): Promise<{ readonly ours: number; readonly theirs: number }> {
  const part = { count: count / TURNS, parallel };
  let ourSeconds = 0;
  let theirSeconds = 0;
  for (let turn = 0; turn < TURNS; turn += 1) {
    const first = turn * part.count;
    ourSeconds += part.count / (await runMany(part, (index) => our(first + index))).rate;
    theirSeconds += part.count / (await runMany(part, (index) => their(first + index))).rate;
  }
  return { ours: count / ourSeconds, theirs: count / theirSeconds };
}

function reportRate(
  bench: Pick<BenchContext, "report">,
  name: string,
  value: number,
  reference: {
    readonly bound?: number;
    readonly peer: Measurement["peer"];
  },
): void {
  const { bound, peer } = reference;
  bench.report(
    atLeast({
      suite,
      name,
      value,
      unit,
      ...(bound === undefined ? {} : { bound }),
      ...(peer === undefined ? {} : { peer, ratio: value / peer.value }),
    }),
  );
}

function peerOf(rates: Readonly<Record<number, number>>, parallel: number): Measurement["peer"] {
  const value = rates[parallel];
  return value === undefined ? undefined : { name: "MooseFS", value };
}
