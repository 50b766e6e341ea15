import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { watch } from "../../../shared/protocol/feed-api.ts";
import { memberStatus, register } from "../../../shared/protocol/fleet-api.ts";
import { history } from "../../../shared/protocol/history-api.ts";
import { locate } from "../../../shared/protocol/namespace-api.ts";
import { ID_MAX, ORDINAL_MAX } from "../../../shared/protocol/schemas.ts";
import { stat } from "../../../shared/protocol/stat-api.ts";

const path = Uint8Array.of(0x2f);
const read = { kind: "stale" };

const space = { totalBytes: 0, availableBytes: 0, usedBytes: 0 };
const registration = (address: string) => ({
  server: { serverId: "0".repeat(32), address, host: "h", rack: "r" },
  ...{ clusterId: null, space },
});

/** Requests with the largest value of a field, and with the next one. */
const FIELDS: readonly (readonly [string, (value: number) => unknown, number])[] = [
  ["history.from", (from) => history.parseRequest({ path, read, from, limit: 1 }), ID_MAX],
  ["stat.index", (index) => stat.parseRequest([2, 0, index, [path]]), ID_MAX],
  ["stat.inode", (inode) => stat.parseRequest([2, 0, null, [inode]]), ID_MAX],
  [
    "watch.sequence",
    (sequence) => watch.parseOpen({ path, from: { index: 1, sequence }, heartbeatMs: 50 }),
    ORDINAL_MAX,
  ],
  [
    "locate.firstPosition",
    (firstPosition) => locate.parseRequest({ target: { path }, read, firstPosition, count: 1 }),
    65_536,
  ],
];

describe("ranges of request fields", () => {
  for (const [name, parse, maximum] of FIELDS) {
    it(`end where the code behind them does: ${name}`, () => {
      assert.ok(parse(maximum));
      assert.throws(() => parse(maximum + 1), { code: "PROTOCOL_ERROR" });
    });
  }

  it("accept only addresses that can be connected to", () => {
    for (const address of ["h:1", "[::1]:65535", "10.0.0.1:7420"]) {
      assert.ok(register.parseRequest(registration(address)));
    }
    for (const address of ["", "h", "h:65536", ":1", "h :1", "::1:1", "h:1:2", "\u0000:1:1"]) {
      const parse = () => register.parseRequest(registration(address));
      assert.throws(parse, { code: "PROTOCOL_ERROR" }, address);
    }
  });
});

describe("the status of a member", () => {
  it("may have no address: the member was not added yet, or was removed", () => {
    const indexes = { lastIndex: 0, committedIndex: 0, appliedIndex: 0 };
    const member = { memberId: 1, address: "", role: "learner", term: 0, ...indexes };
    assert.ok(memberStatus.parseResponse({ member, leaderAddress: null }));
  });
});
