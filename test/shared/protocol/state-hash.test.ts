import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { toHex } from "../../../shared/base/bytes.ts";
import { StateHash } from "../../../shared/protocol/state-hash.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const hashOf = (...rows: readonly (readonly [string, string])[]): string => {
  const hash = new StateHash();
  for (const [key, value] of rows) hash.add(bytes(key), bytes(value));
  return toHex(hash.bytes());
};

describe("StateHash", () => {
  it("is MurmurHash3 x86_128 of the value for an empty key", () => {
    // The words of the published test vectors in little-endian order.
    assert.equal(
      hashOf(["", "I will not buy this tobacconist's, it is scratched."]),
      "a27b5b9b66783fefafde9a888ef9f300",
    );
    assert.equal(
      hashOf(["", "The quick brown fox jumps over the lazy dog"]),
      "c383152f672ceeec6cf67b5d2c1de9e5",
    );
  });

  it("does not depend on the order of rows, or on removed rows", () => {
    assert.equal(hashOf(["a", "1"], ["b", "2"]), hashOf(["b", "2"], ["a", "1"]));
    const hash = new StateHash();
    hash.add(bytes("a"), bytes("1"));
    const before = toHex(hash.bytes());
    const again = new StateHash(hash.bytes());
    again.add(bytes("b"), bytes("2"));
    again.remove(bytes("b"), bytes("2"));
    assert.equal(toHex(again.bytes()), before);
    again.remove(bytes("a"), bytes("1"));
    assert.equal(toHex(again.bytes()), "0".repeat(32));
  });

  it("differs for rows with the same bytes in different keys or values", () => {
    assert.notEqual(hashOf(["ab", "c"]), hashOf(["a", "bc"]));
    assert.notEqual(hashOf(["a", "1"], ["b", "2"]), hashOf(["a", "2"], ["b", "1"]));
    assert.notEqual(hashOf(["a", "1"]), hashOf(["a", "1\0"]));
    assert.notEqual(hashOf(["a", "1"]), hashOf(["a", "1"], ["a", "1"]));
  });

  it("excludes only the applied index and the members", () => {
    assert.equal(hashOf(["Ma", "1"], ["Mm", "2"]), hashOf());
    assert.notEqual(hashOf(["Mt", "1"]), hashOf());
    assert.notEqual(hashOf(["Mab", "1"]), hashOf());
  });
});
