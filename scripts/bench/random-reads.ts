import { randomInt } from "node:crypto";
import { randomBytes } from "../sample-tree.ts";
import type { BenchContext } from "./bench-context.ts";
import { atLeast } from "./measurement.ts";
import { runMany } from "./rates.ts";

const suite = "random";
const MIB = 1024 * 1024;
const FILE_BYTES = 2048 * MIB;
const READ_BYTES = 4096;
/** Reads per measurement with so many in flight. The bound applies to the largest number. */
const LOADS = [
  { parallel: 1, count: 4_000, bound: null },
  { parallel: 8, count: 16_000, bound: null },
  { parallel: 16, count: 32_000, bound: 6_000 },
] as const;

/** Measures reads of 4 KiB at random places of a file of 2 GiB: each is verified, the servers are warm. */
export async function measureRandomReads(bench: BenchContext): Promise<void> {
  const { fileSystem } = bench;
  const path = "/random";
  await fileSystem.writeFile(path, pieces(), { sizeHint: FILE_BYTES });
  await using handle = await fileSystem.open(path);
  // Warms the servers and the block hashes of the client.
  for (let position = 0; position < FILE_BYTES; position += 16 * MIB) {
    await handle.read({ position, lengthBytes: 16 * MIB });
  }
  for (const { parallel, count, bound } of LOADS) {
    const cpuBefore = bench.cpu.seconds();
    const { rate } = await runMany({ count, parallel }, async () => {
      const position = randomInt(FILE_BYTES / READ_BYTES) * READ_BYTES;
      await handle.read({ position, lengthBytes: READ_BYTES });
    });
    const cpuMs = ((bench.cpu.seconds() - cpuBefore) * 1000) / count;
    const name = `4 KiB at random, ${parallel} in flight`;
    const figure = { suite, name, value: rate, unit: "reads/s" };
    bench.report(bound === null ? figure : atLeast({ ...figure, bound }));
    bench.report({ suite, name: `${name}, CPU of all processes`, value: cpuMs, unit: "ms/read" });
  }
}

/** Yields the content of the file. Each piece is a different one. */
function* pieces(): Generator<Uint8Array> {
  const piece = randomBytes(2 * MIB, 11);
  for (let offset = 0; offset < FILE_BYTES; offset += piece.length) {
    piece.writeDoubleLE(offset, 0);
    piece.writeDoubleLE(offset, MIB);
    yield piece;
  }
}
