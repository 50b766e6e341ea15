import type { Digest } from "../base/ids.ts";
import type { Hasher, HashStream } from "../ports/hasher.ts";
import { createHasher } from "./hasher.ts";

/**
 * The hasher of `createHasher`, loaded at its first use: a command that hashes nothing does not wait
 * for the native library.
 *
 * Its methods throw the errors of `createHasher`.
 */
export class LazyHasher implements Hasher {
  #loaded: Hasher | null = null;

  hash(bytes: Uint8Array): Digest {
    return this.#hasher().hash(bytes);
  }

  deriveKey(context: string, material: Uint8Array): Digest {
    return this.#hasher().deriveKey(context, material);
  }

  keyedHash(key: Uint8Array, bytes: Uint8Array): Digest {
    return this.#hasher().keyedHash(key, bytes);
  }

  stream(): HashStream {
    return this.#hasher().stream();
  }

  #hasher(): Hasher {
    this.#loaded ??= createHasher().hasher;
    return this.#loaded;
  }
}
