import { cp, mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { median } from "../statistics.ts";
import type { BenchContext } from "./bench-context.ts";
import { LAUNCHER, runNode } from "./command-run.ts";

const suite = "tree";
const ROUNDS = 5;
const MS_PER_S = 1000;

/** Folders of this repository that the tree consists of. The path is relative to dist/scripts/bench. */
const REPOSITORY = fileURLToPath(new URL("../../../", import.meta.url));
const FOLDERS = ["master", "chunkserver", "client", "shared", "test", "docs", "scripts"];
/** Copies of the folders in the tree, for about 5,000 files. */
const COPIES = 4;

/** Cost of one command. */
interface Cost {
  readonly wallS: number;
  readonly clientS: number;
  readonly serversS: number;
}

/**
 * Measures commands that transfer, list and remove a tree of small files: wall time, CPU of the command
 * and CPU of all servers, in seconds.
 */
export async function measureTree(bench: BenchContext): Promise<void> {
  const tree = join(bench.work, "tree");
  await makeTree(tree);
  const files = await readdir(tree, { recursive: true });
  bench.report({ suite, name: "entries", value: files.length, unit: "" });
  const costs = new Map<string, Cost[]>();
  for (let round = 0; round < ROUNDS; round += 1) {
    const copy = join(bench.work, "copy");
    for (const words of [
      ["put", "-r", tree, `/tree-${round}`],
      ["get", "-r", `/tree-${round}`, copy],
      ["ls", "-lR", `/tree-${round}`],
      ["rm", "-r", "--yes", `/tree-${round}`],
    ]) {
      const name = words.slice(0, 2).join(" ");
      costs.set(name, [...(costs.get(name) ?? []), costOf(bench, words)]);
    }
    await rm(copy, { recursive: true });
  }
  for (const [name, found] of costs) {
    const of = (key: keyof Cost): number => median(found.map((cost) => cost[key]));
    bench.report({ suite, name: `${name}, wall time`, value: of("wallS"), unit: "s" });
    bench.report({ suite, name: `${name}, CPU of the command`, value: of("clientS"), unit: "s" });
    bench.report({ suite, name: `${name}, CPU of the servers`, value: of("serversS"), unit: "s" });
  }
}

async function makeTree(tree: string): Promise<void> {
  for (let count = 0; count < COPIES; count += 1) {
    await mkdir(join(tree, String(count)), { recursive: true });
    for (const folder of FOLDERS) {
      await cp(join(REPOSITORY, folder), join(tree, String(count), folder), { recursive: true });
    }
  }
}

function costOf({ cpu, cluster }: BenchContext, words: readonly string[]): Cost {
  const before = { all: cpu.seconds(), own: process.cpuUsage() };
  const { wallMs, cpuMs } = runNode([LAUNCHER, ...words], cluster.directory);
  const { user, system } = process.cpuUsage(before.own);
  const ownS = (user + system) / 1e6;
  return {
    wallS: wallMs / MS_PER_S,
    clientS: cpuMs / MS_PER_S,
    serversS: Math.max(0, cpu.seconds() - before.all - ownS),
  };
}
