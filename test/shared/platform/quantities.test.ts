import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isAshlarError } from "../../../shared/base/errors.ts";
import {
  formatAddress,
  parseAddress,
  parseDurationMs,
  parseSizeBytes,
} from "../../../shared/platform/quantities.ts";

const refused = (error: unknown): boolean => isAshlarError(error, "INVALID_ARGUMENT");

describe("sizes", () => {
  it("are powers of two with M and MiB, powers of ten with MB", () => {
    const expected: Readonly<Record<string, number>> = {
      "0": 0,
      "4096": 4096,
      "12B": 12,
      "64MiB": 64 * 2 ** 20,
      "64M": 64 * 2 ** 20,
      "10MB": 10_000_000,
      "1.5 GiB": 1.5 * 2 ** 30,
      "2k": 2048,
      " 3tb ": 3e12,
    };
    for (const [text, bytes] of Object.entries(expected)) assert.equal(parseSizeBytes(text), bytes);
  });

  it("are refused where a unit or a number is not one", () => {
    for (const text of ["", "M", "-1", "10 apples", "1e3", "1..5M", "constructor", "9999999TiB"]) {
      assert.throws(() => parseSizeBytes(text), refused, text);
    }
  });
});

describe("durations", () => {
  it("have a unit", () => {
    const expected = { "500ms": 500, "10s": 10_000, "5m": 300_000, "1.5h": 5_400_000, "1d": 864e5 };
    for (const [text, ms] of Object.entries(expected)) assert.equal(parseDurationMs(text), ms);
    for (const text of ["", "5", "5 weeks", "s", "-5s"]) {
      assert.throws(() => parseDurationMs(text), refused, text);
    }
  });
});

describe("addresses", () => {
  it("are a host and a port, IPv6 in brackets", () => {
    for (const text of ["localhost:80", "10.0.0.1:0", "[::1]:65535"]) {
      assert.equal(formatAddress(parseAddress(text)), text);
    }
    assert.deepEqual(parseAddress("[::1]:5"), { host: "::1", port: 5 });
  });

  it("are refused without a port, with a path or with a port over 65535", () => {
    for (const text of [
      "",
      "host",
      ":80",
      "host:",
      "host:65536",
      "::1:80",
      "a b:1",
      "http://a:1",
    ]) {
      assert.throws(() => parseAddress(text), refused, text);
    }
  });
});
