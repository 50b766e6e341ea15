import { randomBytes } from "node:crypto";
import type { Random } from "../ports/random.ts";

/**
 * `bytes` uses the randomness of the operating system, `fraction` the fast, predictable one of V8.
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
