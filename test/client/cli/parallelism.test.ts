import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { CommandContext } from "../../../client/cli/command.ts";
import { forEachItemParallel } from "../../../client/cli/each-item.ts";
import { Output } from "../../../client/cli/output.ts";
import { parallelismOf } from "../../../client/cli/parallelism.ts";
import { MemoryCliEnv } from "../../support/memory-cli-env.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const LARGE_BYTES = 1024 * MIB;

const env = new MemoryCliEnv();
const output = new Output(env, {
  json: false,
  color: "never",
  progress: "never",
  quiet: false,
  verbosity: 0,
  onClosed: "continue",
});
/** The part of a context that the loop uses. */
const context = { env, output, signal: new AbortController().signal } as unknown as CommandContext;

/** Runs one task for each size. Each task ends when all that can start have started. */
async function highestOf(
  sizes: readonly number[],
  options: Readonly<Record<string, unknown>> = {},
): Promise<{ readonly count: number; readonly bytes: number; readonly order: readonly number[] }> {
  const { weightMax, weightOf } = parallelismOf(options, "refuse", 2);
  let count = 0;
  let bytes = 0;
  const highest = { count: 0, bytes: 0 };
  const order: number[] = [];
  async function* items() {
    for (const [position, size] of sizes.entries()) yield { position, size };
  }
  await forEachItemParallel(context, items(), {
    weightMax,
    weightOf: ({ size }) => weightOf(size),
    task: async ({ position, size }) => {
      order.push(position);
      count += 1;
      bytes += size;
      highest.count = Math.max(highest.count, count);
      highest.bytes = Math.max(highest.bytes, bytes);
      await new Promise(setImmediate);
      await new Promise(setImmediate);
      count -= 1;
      bytes -= size;
    },
  });
  assert.equal(count, 0);
  return { ...highest, order };
}

const many = (count: number, size: number): number[] => Array<number>(count).fill(size);

describe("the files in flight", () => {
  it("are 64 below 1 MiB", async () => {
    const { count, order } = await highestOf(many(300, 4 * KIB));
    assert.equal(count, 64);
    assert.deepEqual(order, [...Array(300).keys()]);
  });

  it("are twice as many as there are CPUs from 1 MiB on", async () => {
    assert.equal((await highestOf(many(20, MIB))).count, 4);
    const counts = [1, 2, 4, 16].map((cpus) => {
      const { weightMax, weightOf } = parallelismOf({}, "refuse", cpus);
      return weightMax / weightOf(MIB);
    });
    assert.deepEqual(counts, [2, 4, 8, 8]);
  });

  it("have less than 64 MiB in small files, in any mixture", async () => {
    const small = many(200, MIB - 1);
    assert.ok((await highestOf(small)).bytes < 64 * MIB);
    const mixed = small.map((size, position) => (position % 5 === 0 ? LARGE_BYTES : size));
    const { count, bytes } = await highestOf(mixed);
    assert.ok(count <= 64 && bytes <= 4 * LARGE_BYTES + 64 * MIB, `${count} files, ${bytes} bytes`);
  });

  it("are as many as --parallel says, of any size, and one if questions are asked", async () => {
    assert.equal((await highestOf(many(50, 1), { parallel: 3 })).count, 3);
    assert.equal((await highestOf(many(50, MIB), { parallel: 20 })).count, 20);
    const { weightMax, weightOf } = parallelismOf({ parallel: 20 }, "ask", 2);
    assert.deepEqual([weightMax, weightOf(0)], [1, 1]);
  });
});
