import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { blake3 } from "@noble/hashes/blake3.js";
import fc from "fast-check";
import { toHex } from "../../../shared/base/bytes.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import { createHasher } from "../../../shared/platform/hasher.ts";
import { loadNativeHasher } from "../../../shared/platform/native-hasher.ts";
import { loadWasmHasher } from "../../../shared/platform/wasm-hasher.ts";
import type { Hasher } from "../../../shared/ports/hasher.ts";
import { ROOT_URL } from "../../support/repository.ts";

interface Vectors {
  readonly key: string;
  readonly context_string: string;
  readonly cases: readonly {
    readonly input_len: number;
    readonly hash: string;
    readonly keyed_hash: string;
    readonly derive_key: string;
  }[];
}

const vectors = JSON.parse(
  readFileSync(new URL("test/shared/platform/blake3-test-vectors.json", ROOT_URL), "utf8"),
) as Vectors;

const utf8 = new TextEncoder();
const native = loadNativeHasher();
const hashers: readonly (readonly [string, Hasher])[] = [
  ...(native === null ? [] : ([["native", native]] as const)),
  ["wasm", loadWasmHasher()],
];

/** Bytes of up to a few blocks, as a view at any offset of a larger buffer. */
const someBytes = fc
  .tuple(
    fc.oneof(fc.nat(200), fc.nat(70_000), fc.constantFrom(65_536, 262_144, 262_145)),
    fc.nat(17),
    fc.nat(255),
  )
  .map(([length, offset, seed]) => {
    const bytes = new Uint8Array(length + 40);
    for (let index = 0; index < bytes.length; index += 1) bytes[index] = index * 31 + seed;
    return bytes.subarray(offset, offset + length);
  });

describe("hashers", () => {
  // One test for all hashers: most of its time is that of @noble/hashes.
  it("agree with @noble/hashes on any bytes, context and key", () => {
    const property = fc.property(
      someBytes,
      fc.string({ minLength: 1, unit: "grapheme" }),
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      (bytes, context, key) => {
        const hash = blake3(bytes);
        const keyedHash = blake3(bytes, { key });
        const derivedKey = blake3(bytes, { context: utf8.encode(context) });
        for (const [name, hasher] of hashers) {
          assert.deepEqual(hasher.hash(bytes), hash, name);
          assert.deepEqual(hasher.keyedHash(key, bytes), keyedHash, name);
          assert.deepEqual(hasher.deriveKey(context, bytes), derivedKey, name);
        }
      },
    );
    fc.assert(property, { numRuns: 60 });
  });
});

for (const [name, hasher] of hashers) {
  describe(`${name} hasher (BLAKE3 test vectors)`, () => {
    for (const vector of vectors.cases) {
      it(`returns the official digests of ${vector.input_len} bytes in all modes`, () => {
        const input = Uint8Array.from({ length: vector.input_len }, (_, i) => i % 251);
        assert.equal(toHex(hasher.hash(input)), vector.hash);
        assert.equal(toHex(hasher.keyedHash(utf8.encode(vectors.key), input)), vector.keyed_hash);
        assert.equal(toHex(hasher.deriveKey(vectors.context_string, input)), vector.derive_key);
        const stream = hasher.stream();
        stream.update(input.subarray(0, 65));
        stream.update(input.subarray(65));
        assert.equal(toHex(stream.digest()), vector.hash);
      });
    }

    it("returns the same digest for a stream that is updated in parts of any size", () => {
      const property = fc.property(someBytes, fc.array(fc.nat(300_000)), (bytes, cuts) => {
        const stream = hasher.stream();
        let start = 0;
        for (const cut of [...cuts, bytes.length].sort((left, right) => left - right)) {
          stream.update(bytes.subarray(start, cut));
          start = Math.max(start, Math.min(cut, bytes.length));
        }
        assert.deepEqual(stream.digest(), hasher.hash(bytes));
      });
      fc.assert(property, { numRuns: 60 });
    });

    it("returns plain arrays that later calls do not change", () => {
      const first = hasher.hash(Uint8Array.of(1));
      const copy = Uint8Array.from(first);
      for (let i = 0; i < 1000; i += 1) hasher.hash(Uint8Array.of(2, i & 255));
      assert.equal(Object.getPrototypeOf(first), Uint8Array.prototype);
      assert.deepEqual(first, copy);
    });

    it("takes the key of each call, also of an array that was changed since the last call", () => {
      const [bytes, key] = [Uint8Array.of(1, 2, 3), new Uint8Array(32)];
      for (const value of [1, 2, 2, 1]) {
        key.fill(value);
        assert.deepEqual(hasher.keyedHash(key, bytes), blake3(bytes, { key }));
      }
    });

    it("asserts that a MAC key has 32 bytes", () => {
      assert.throws(() => hasher.keyedHash(new Uint8Array(31), new Uint8Array(1)), {
        name: "AssertionError",
      });
    });
  });
}

describe("wasm hasher", () => {
  it("frees its state after every call: a million leaked states would take 2 GB", () => {
    const hasher = loadWasmHasher();
    const bytes = new Uint8Array(64);
    hasher.deriveKey("warm up", bytes);
    const before = process.memoryUsage();
    for (let i = 0; i < 20_000; i += 1) hasher.deriveKey("a context", bytes);
    const grownBytes = process.memoryUsage().external - before.external;
    assert.ok(grownBytes < 16 * 1024 * 1024, `grew by ${grownBytes} bytes`);
  });
});

describe("createHasher", () => {
  it("returns WebAssembly for ASHLAR_HASHER=wasm", () => {
    assert.equal(createHasher({ ASHLAR_HASHER: "wasm" }).kind, "wasm");
  });

  it("returns the native hasher if its binary loads", () => {
    assert.equal(createHasher({}).kind, native === null ? "wasm" : "native");
  });

  it("refuses an unknown hasher", () => {
    assert.throws(
      () => createHasher({ ASHLAR_HASHER: "md5" }),
      (error) => isAshlarError(error, "INVALID_ARGUMENT"),
    );
  });
});
