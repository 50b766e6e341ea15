import { createRequire } from "node:module";
import { assert } from "../base/assert.ts";
import { DIGEST_BYTES, type Digest } from "../base/ids.ts";
import type { Hasher, HashStream } from "../ports/hasher.ts";

type WasmModule = typeof import("blake3-wasm");
type WasmHash = ReturnType<WasmModule["createHash"]>;

/** The module copies its input into its own memory, which never shrinks: it is fed piece by piece. */
const PIECE_BYTES_MAX = 256 * 1024;

/** BLAKE3 in WebAssembly: on every machine, some five to ten times slower than the native one. */
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

  // The module's own deriveKey() and keyedHash() never free their state: 2 KiB lost a call.
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

/** The same bytes as a plain array: a Buffer differs in `slice` and is not deeply equal to one. */
function digestOf(buffer: Buffer | string): Digest {
  assert(typeof buffer !== "string" && buffer.length === DIGEST_BYTES, "a digest has 32 bytes");
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length) as Digest;
}
