import { join } from "node:path";
import { BareChain, type BareChainOptions } from "./bare-chain.ts";
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

/**
 * Compares creates and stats with bare chains, which show the limit of the machine. Creates have two: one
 * only writes and syncs the messages, the other stores their rows too. The second one has the bound if 64
 * callers keep both cores busy: then the CPU of the rows decides, and without them there is no namespace.
 */
async function measureAgainstBareChain({ fileSystem, work, report }: BenchContext): Promise<void> {
  const chainOf = (name: string, options: Omit<BareChainOptions, "work">): Promise<BareChain> =>
    BareChain.start({ work: join(work, name), ...options });
  await using durable = await chainOf("chain", { isDurable: true });
  await using storing = await chainOf("chain-rows", { isDurable: true, hasStore: true });
  await using responder = await chainOf("responder", { isDurable: false });
  const messages = { name: "bare chain", chain: durable };
  const rows = { name: "bare chain that stores rows", chain: storing };
  const answers = { name: "bare chain", chain: responder };
  await fileSystem.mkdir("/chain");
  const create = (index: number) => fileSystem.create(`/chain/${index}`);
  const stat = (index: number) => fileSystem.stat(`/chain/${index % 1_000}`);
  for (const { name, parallel, count, ours, peers } of [
    { name: "create", parallel: 1, count: 3_000, ours: create, peers: [messages, rows] },
    { name: "create", parallel: 64, count: 30_000, ours: create, peers: [rows, messages] },
    { name: "stat", parallel: 64, count: 100_000, ours: stat, peers: [answers] },
  ]) {
    // The creates of one caller and of 64 callers have names of their own.
    const first = name === "create" && parallel > 1 ? parallel * 1_000_000 : 0;
    const [rate = 0, ...rates] = await runInTurns({ count, parallel }, [
      (index) => ours(first + index),
      ...peers.map(
        ({ chain }) =>
          () =>
            chain.call(),
      ),
    ]);
    for (const [place, peer] of peers.entries()) {
      const value = rates[place] ?? 0;
      reportRate(
        { report },
        `${name} in turns with a ${peer.name}, ${parallel} in parallel`,
        rate,
        {
          ...(place === 0 ? { bound: CHAIN_SHARE * value } : {}),
          peer: { name: peer.name, value },
        },
      );
    }
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
    const [ours = 0, theirs = 0] = await runInTurns({ count, parallel }, [
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
 * Returns the rates of several tasks. Each task runs `count` times in total. The parts of the tasks
 * alternate, because the speed of a shared machine changes from second to second.
 */
async function runInTurns(
  { count, parallel }: { readonly count: number; readonly parallel: number },
  tasks: readonly Task[],
): Promise<readonly number[]> {
  const part = { count: count / TURNS, parallel };
  const seconds = tasks.map(() => 0);
  for (let turn = 0; turn < TURNS; turn += 1) {
    const first = turn * part.count;
    for (const [place, task] of tasks.entries()) {
      const { rate } = await runMany(part, (index) => task(first + index));
      seconds[place] = (seconds[place] ?? 0) + part.count / rate;
    }
  }
  return seconds.map((sum) => count / sum);
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
