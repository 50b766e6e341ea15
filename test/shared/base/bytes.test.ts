import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  compareBytes,
  concatBytes,
  equalBytes,
  fromHex,
  toHex,
} from "../../../shared/base/bytes.ts";

describe("bytes", () => {
  it("convert to hex, two lower-case digits per byte, and back", () => {
    assert.equal(toHex(Uint8Array.of(0, 1, 0xab, 255)), "0001abff");
    assert.deepEqual(fromHex("0001abFF"), Uint8Array.of(0, 1, 0xab, 255));
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => assert.deepEqual(fromHex(toHex(bytes)), bytes)),
    );
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) =>
        assert.equal(toHex(bytes), Buffer.from(bytes).toString("hex")),
      ),
    );
  });

  it("sort as by memcmp, with a prefix first, as LMDB sorts its keys", () => {
    const property = fc.property(fc.uint8Array(), fc.uint8Array(), (left, right) => {
      assert.equal(Math.sign(compareBytes(left, right)), Buffer.compare(left, right));
      assert.equal(equalBytes(left, right), Buffer.compare(left, right) === 0);
    });
    fc.assert(property);
    assert.ok(compareBytes(Uint8Array.of(1), Uint8Array.of(1, 0)) < 0);
    assert.ok(compareBytes(Uint8Array.of(0x7f), Uint8Array.of(0x80)) < 0);
    assert.ok(equalBytes(new Uint8Array(0), new Uint8Array(0)));
  });

  it("are joined in order into a new array", () => {
    const part = Uint8Array.of(2, 3);
    const whole = concatBytes([Uint8Array.of(1), new Uint8Array(0), part]);
    assert.deepEqual(whole, Uint8Array.of(1, 2, 3));
    part.fill(9);
    assert.deepEqual(whole, Uint8Array.of(1, 2, 3));
    assert.deepEqual(concatBytes([]), new Uint8Array(0));
  });
});
