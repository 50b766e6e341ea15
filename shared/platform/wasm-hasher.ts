import { createRequire } from "node:module";
import { assert } from "../base/assert.ts";
import { DIGEST_BYTES, type Digest } from "../base/ids.ts";
import type { Hasher, HashStream } from "../ports/hasher.ts";

type WasmModule = typeof import("blake3-wasm");
type WasmHash = ReturnType<WasmModule["createHash"]>;

/** Input is hashed in pieces: the module copies it into its memory, which never shrinks. */
const PIECE_BYTES_MAX = 256 * 1024;

/**
 * Returns BLAKE3 in WebAssembly. It runs on every machine, 5 to 10 times slower than native code.
 */
export function loadWasmHasher(): Hasher {
  const require = createRequire(import.meta.url);
  return new WasmHasher(require("blake3-wasm") as WasmModule);
}

class WasmHasher implements Hasher {
  readonly #wasm: WasmModule;

  constructor(wasm: WasmModule) {
    this.#wasm = wasm;
  }

  hash(bytes: Uint8Array): Digest {
    if (bytes.length <= PIECE_BYTES_MAX) return digestOf(this.#wasm.hash(bytes));
    return finish(this.#wasm.createHash(), bytes);
  }

  // deriveKey() and keyedHash() of the module never free their state and leak 2 KiB per call.
  deriveKey(context: string, material: Uint8Array): Digest {
    return finish(this.#wasm.createDeriveKey(context), material);
  }

  keyedHash(key: Uint8Array, bytes: Uint8Array): Digest {
    assert(key.length === DIGEST_BYTES, "a MAC key has 32 bytes");
    return finish(this.#wasm.createKeyed(Buffer.from(key)), bytes);
  }

  stream(): HashStream {
    const hash = this.#wasm.createHash();
    return {
      update: (bytes) => updateInPieces(hash, bytes),
      digest: () => digestOf(hash.digest()),
    };
  }
}

function finish(hash: WasmHash, bytes: Uint8Array): Digest {
  updateInPieces(hash, bytes);
  return digestOf(hash.digest());
}

function updateInPieces(hash: WasmHash, bytes: Uint8Array): void {
  for (let offset = 0; offset < bytes.length; offset += PIECE_BYTES_MAX) {
    hash.update(bytes.subarray(offset, offset + PIECE_BYTES_MAX));
  }
}

/**
 * Returns the same bytes as a plain Uint8Array. A Buffer differs: its `slice` returns a view, and
 * it is not deeply equal to a Uint8Array.
 */
function digestOf(buffer: Buffer | string): Digest {
  assert(typeof buffer !== "string" && buffer.length === DIGEST_BYTES, "a digest has 32 bytes");
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length) as Digest;
}
