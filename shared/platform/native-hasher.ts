import { createRequire } from "node:module";
import { assert } from "../base/assert.ts";
import { DIGEST_BYTES, type Digest } from "../base/ids.ts";
import type { Hasher, HashStream } from "../ports/hasher.ts";

type NativeModule = typeof import("@napi-rs/blake-hash");
type KeyedState = ReturnType<NativeModule["Blake3Hasher"]["newKeyed"]>;

/** Returns the BLAKE3 with SIMD instructions, or null if no binary exists for this platform. */
export function loadNativeHasher(): Hasher | null {
  const require = createRequire(import.meta.url);
  try {
    return new NativeHasher(require("@napi-rs/blake-hash") as NativeModule);
  } catch {
    return null; // The package is optional: the caller falls back to WebAssembly.
  }
}

class NativeHasher implements Hasher {
  readonly #native: NativeModule;
  /** The state of the last keyed hash: a new one takes three times as long as a short hash. */
  #keyed: { readonly key: Buffer; readonly state: KeyedState } | null = null;

  constructor(native: NativeModule) {
    this.#native = native;
  }

  hash(bytes: Uint8Array): Digest {
    return digestOf(this.#native.blake3(bytes));
  }

  deriveKey(context: string, material: Uint8Array): Digest {
    return digestOf(this.#native.Blake3Hasher.deriveKey(context, material));
  }

  keyedHash(key: Uint8Array, bytes: Uint8Array): Digest {
    assert(key.length === DIGEST_BYTES, "a MAC key has 32 bytes");
    if (this.#keyed?.key.equals(key) !== true) {
      const copy = Buffer.from(key);
      this.#keyed = { key: copy, state: this.#native.Blake3Hasher.newKeyed(copy) };
    }
    const { state } = this.#keyed;
    state.reset(); // Keeps the key.
    return digestOf(state.update(bytes).digestBuffer());
  }

  stream(): HashStream {
    const hasher = new this.#native.Blake3Hasher();
    return {
      update: (bytes) => {
        hasher.update(bytes);
      },
      digest: () => digestOf(hasher.digestBuffer()),
    };
  }
}

/**
 * Returns the same bytes as a plain Uint8Array. A Buffer differs: its `slice` returns a view, and
 * it is not deeply equal to a Uint8Array.
 */
function digestOf(buffer: Buffer): Digest {
  assert(buffer.length === DIGEST_BYTES, "a digest has 32 bytes");
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length) as Digest;
}
