import { randomBytes } from "node:crypto";
import type { Random } from "../ports/random.ts";

/**
 * `bytes` uses the random source of the system. `fraction` uses Math.random, which is predictable.
 */
export class SystemRandom implements Random {
  fraction(): number {
    return Math.random();
  }

  bytes(count: number): Uint8Array {
    const buffer = randomBytes(count);
    return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
  }
}
