import { join } from "node:path";
import { BareChain } from "./bare-chain.ts";
import { EtcdPeer } from "./etcd.ts";
import { atLeast, atMost, type Bench, type Measurement } from "./measurement.ts";
import { type Run, runMany } from "./rates.ts";

const suite = "meta";
const unit = "ops/s";

/**
 * MooseFS 3.0.117 on this kind of machine: every change synced, stats from a cold cache, one thread
 * and eight.
 */
const MOOSEFS = { create: { 1: 1_874, 8: 1_630 }, stat: { 1: 13_868, 8: 8_747 } };

const LOADS = [
  { parallel: 1, count: 4_000, createBound: 1_200, statBound: undefined },
  { parallel: 8, count: 10_000, createBound: undefined, statBound: undefined },
  { parallel: 64, count: 40_000, createBound: 10_000, statBound: 60_000 },
] as const;

/** So often the two that are compared take turns. */
const TURNS = 10;

/** Durable creates and linearizable stats a second, from one client process; etcd for scale. */
export async function measureMetadata(bench: Bench): Promise<void> {
  const { fileSystem } = bench;
  await warmUp(bench);
  for (const { parallel, count, createBound, statBound } of LOADS) {
    const directory = `/meta-${parallel}`;
    await fileSystem.mkdir(directory);
    const how = { count, parallel };
    const creates = await runMetered(bench, how, (index) =>
      fileSystem.create(`${directory}/${index}`),
    );
    reportRun(bench, `create, ${parallel} in parallel`, creates, {
      bound: createBound,
      peer: peerOf(MOOSEFS.create, parallel),
    });
    if (parallel === 1) {
      const name = "create alone, median";
      bench.report(atMost({ suite, name, value: creates.medianMs, unit: "ms", bound: 1 }));
    }
    const stats = await runMetered(bench, how, (index) => fileSystem.stat(`${directory}/${index}`));
    reportRun(bench, `stat, ${parallel} in parallel`, stats, {
      bound: statBound,
      peer: peerOf(MOOSEFS.stat, parallel),
    });
  }
  await measureAgainstBareChain(bench);
  await measureAgainstEtcd(bench);
}

/**
 * The first ten thousands of calls are slower, while all processes compile what they run: seconds
 * of what is meant to run for months.
 */
async function warmUp({ fileSystem }: Bench): Promise<void> {
  await fileSystem.mkdir("/warm-up");
  const how = { count: 60_000, parallel: 64 };
  await runMany(how, (index) => fileSystem.create(`/warm-up/${index}`));
  await runMany(how, (index) => fileSystem.stat(`/warm-up/${index}`));
}

/** How much of what one caller waits for is the machine's: see `BareChain`. */
async function measureAgainstBareChain({ fileSystem, work, report }: Bench): Promise<void> {
  await using chain = await BareChain.start(join(work, "chain"));
  await fileSystem.mkdir("/chain");
  const { ours, theirs } = await inTurns({ count: 3_000, parallel: 1 }, [
    (index) => fileSystem.create(`/chain/${index}`),
    () => chain.write(),
  ]);
  const peer = { name: "bare chain", value: theirs };
  report({
    suite,
    name: "create beside a bare chain",
    value: ours,
    unit,
    peer,
    ratio: ours / theirs,
  });
}

/** In the same minutes on the same disk: creates here, puts of 256 bytes there. */
async function measureAgainstEtcd(bench: Bench): Promise<void> {
  const { fileSystem, work } = bench;
  await using etcd = await EtcdPeer.start(join(work, "etcd"));
  if (etcd === null) {
    process.stderr.write("etcd is not installed (apt-get install etcd-server): not compared\n");
    return;
  }
  for (const [parallel, count] of [
    [1, 1_500],
    [16, 8_000],
    [256, 20_000],
  ] as const) {
    const directory = `/etcd-${parallel}`;
    await fileSystem.mkdir(directory);
    const { ours, theirs } = await inTurns({ count, parallel }, [
      (index) => fileSystem.create(`${directory}/${index}`),
      (index) => etcd.put(`${directory}/${index}`),
    ]);
    reportRate(bench, `create beside etcd, ${parallel} in parallel`, ours, {
      bound: theirs,
      peer: { name: "etcd", value: theirs },
    });
  }
}

type Task = (index: number) => Promise<unknown>;

interface MeteredRun extends Run {
  /** Processor time of one task over the client and all processes of the cluster, in µs. */
  readonly cpuMicros: number;
}

async function runMetered(
  bench: Bench,
  how: { readonly count: number; readonly parallel: number },
  task: Task,
): Promise<MeteredRun> {
  const cpuBefore = bench.cpu.seconds();
  const run = await runMany(how, task);
  const cpuSeconds = bench.cpu.seconds() - cpuBefore;
  return { ...run, cpuMicros: (cpuSeconds * 1_000_000) / how.count };
}

/** The rate, and the processor time: what bounds the rate where all processes share a machine. */
function reportRun(
  bench: Bench,
  name: string,
  run: MeteredRun,
  against: Parameters<typeof reportRate>[3],
): void {
  reportRate(bench, name, run.rate, against);
  bench.report({
    suite,
    name: `${name}, CPU of all processes`,
    value: run.cpuMicros,
    unit: "CPU-µs",
  });
}

/**
 * The rates of two tasks, each run `count` times in all: by turns, a part of them each, since a
 * shared machine is another one from second to second.
 */
async function inTurns(
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
  bench: Bench,
  name: string,
  value: number,
  against: {
    readonly bound: number | undefined;
    readonly peer: Measurement["peer"];
  },
): void {
  const { bound, peer } = against;
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
