import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Link, LinkReceiver } from "../../../shared/ports/network.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { MemoryLog } from "../../support/wire-fixture.ts";
import { ClientNetwork } from "../support/client-network.ts";
import { LoopbackCluster, makeEnv } from "../support/loopback-cluster.ts";

const MIB = 1024 * 1024;
const SEED = 20261121;

/** TCP whose links break after a random number of bytes, while `breaksLeft` is positive. */
class BreakingNetwork extends ClientNetwork {
  readonly #random: SeededRandom;
  readonly #bytesMax: number;
  breaksLeft = 0;

  constructor(random: SeededRandom, bytesMax: number) {
    super();
    this.#random = random;
    this.#bytesMax = bytesMax;
  }

  protected changed(link: Link): Partial<Link> {
    let leftBytes = this.#random.integer(this.#bytesMax);
    const count = (bytes: number): void => {
      leftBytes -= bytes;
      if (leftBytes > 0 || this.breaksLeft === 0) return;
      this.breaksLeft -= 1;
      link.destroy();
    };
    return {
      start: (receiver: LinkReceiver) =>
        link.start({
          buffer: () => receiver.buffer(),
          onBytes: (bytes) => {
            receiver.onBytes(bytes);
            count(bytes);
          },
          onClosed: (error) => receiver.onClosed(error),
        }),
      write: (parts) => {
        const written = link.write(parts);
        count(parts.reduce((sum, part) => sum + part.length, 0));
        return written;
      },
    };
  }
}

describe(`connections that break at any byte (seed ${SEED})`, () => {
  it("lose no write, apply none twice, and return no wrong read", async () => {
    const random = new SeededRandom(SEED);
    const network = new BreakingNetwork(random, 5 * MIB);
    await using cluster = await LoopbackCluster.start(3);
    const env = { ...makeEnv(new MemoryLog()), network };
    const fs = await cluster.connect({ env });
    let index = (await fs.mkdir("/d")).index;
    for (let round = 0; round < 12; round += 1) {
      const bytes = random.bytes(4096);
      const whole = new Uint8Array(1 + random.integer(4 * MIB));
      for (let offset = 0; offset < whole.length; offset += 65_536) {
        whole.set(bytes.subarray(0, Math.min(4096, whole.length - offset)), offset);
        whole[offset] = round + 1;
      }
      network.breaksLeft = 3;
      const result = await fs.writeFile("/d/file", whole, { chunkSizeBytes: MIB, replace: true });
      network.breaksLeft = 3;
      const read = await fs.readFile("/d/file");
      network.breaksLeft = 0;
      assert.equal(Buffer.compare(read, whole), 0, `round ${round}`);
      assert.ok(result.index > index, "log indexes of commits increase");
      index = result.index;
    }
  });
});
