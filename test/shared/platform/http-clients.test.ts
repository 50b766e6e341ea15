import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { clientOf } from "../../../shared/platform/http-clients.ts";

describe("clientOf", () => {
  it("returns the IPv4 address, or the IPv6 network of 64 bits", () => {
    const cases: ReadonlyArray<readonly [string | undefined, string]> = [
      ["10.0.0.7", "10.0.0.7"],
      ["::ffff:10.0.0.7", "10.0.0.7"],
      ["::1", "0:0:0:0::/64"],
      ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
      ["2001:db8:1:2::6", "2001:db8:1:2::/64"],
      ["2001:db8::6", "2001:db8:0:0::/64"],
      ["fe80::1%eth0", "fe80:0:0:0::/64"],
      [undefined, ""],
    ];
    for (const [address, client] of cases) assert.equal(clientOf(address), client);
  });
});
