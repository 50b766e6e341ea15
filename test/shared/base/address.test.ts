import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { formatAddress, isAddress, parseAddress } from "../../../shared/base/address.ts";

describe("addresses", () => {
  it("consist of a host and a port, with IPv6 in brackets", () => {
    for (const text of ["localhost:80", "10.0.0.1:0", "[::1]:65535", "[fe80::1%eth0]:7000"]) {
      assert.equal(formatAddress(parseAddress(text)), text);
      assert.ok(isAddress(text), text);
    }
    assert.deepEqual(parseAddress("[::1]:5"), { host: "::1", port: 5 });
  });

  it("are refused without a host or a port, with a path, or with a port over 65535", () => {
    const wrong = ["", "host", ":80", "host:", "host:65536", "::1:80", "a b:1", "http://a:1"];
    for (const text of [...wrong, "[::1]", "[name]:80", "a,b:80"]) {
      assert.throws(() => parseAddress(text), { code: "INVALID_ARGUMENT" }, text);
      assert.equal(isAddress(text), false, text);
    }
  });
});
