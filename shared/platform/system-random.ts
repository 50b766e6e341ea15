import { randomBytes } from "node:crypto";
import type { Random } from "../ports/random.ts";

/** The operating system's randomness for `bytes`; the fast and guessable generator of V8 for `fraction`. */
export class SystemRandom implements Random {
  fraction(): number {
    return Math.random();
  }

  bytes(count: number): Uint8Array {
    const buffer = randomBytes(count);
    return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
  }
}
