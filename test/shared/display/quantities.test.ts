import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  formatDuration,
  parseDurationMs,
  parseSizeBytes,
} from "../../../shared/display/quantities.ts";

const refused = { code: "INVALID_ARGUMENT" };

describe("parseSizeBytes", () => {
  it("reads M and MiB as powers of 1024, and MB as a power of 1000", () => {
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
    for (const [text, bytes] of Object.entries(expected)) {
      assert.equal(parseSizeBytes(text, "--x"), bytes, text);
    }
  });

  it("refuses text without a number, with an unknown unit, or beyond 2^53", () => {
    for (const text of ["", "M", "-1", "10 apples", "1e3", "1..5M", "constructor", "9999999TiB"]) {
      assert.throws(() => parseSizeBytes(text, "--x"), refused, text);
    }
  });

  it("names the flag, the expected form and the value in the error", () => {
    const message =
      "Cannot use --x: expected a size such as 4096, 64M, 64MiB (2^20) or 10MB (10^6): " +
      'current value is "10X"';
    assert.throws(() => parseSizeBytes("10X", "--x"), { ...refused, message });
  });
});

describe("formatDuration", () => {
  it("writes what parseDurationMs reads", () => {
    for (const text of ["0ms", "1ms", "1500ms", "90s", "61m", "25h", "7d", "366d"]) {
      const durationMs = parseDurationMs(text, { name: "--x", bareUnit: "ms" });
      assert.equal(formatDuration(durationMs), text);
    }
  });
});

describe("parseDurationMs", () => {
  it("reads ms, s, m, h and d", () => {
    const expected = { "500ms": 500, "10s": 10_000, "5m": 300_000, "1.5h": 5_400_000, "1d": 864e5 };
    for (const [text, durationMs] of Object.entries(expected)) {
      assert.equal(parseDurationMs(text, { name: "--x", bareUnit: "s" }), durationMs);
      assert.equal(parseDurationMs(text, { name: "xMs", bareUnit: "ms" }), durationMs);
    }
  });

  it("reads a number without a unit in the unit that the caller names", () => {
    assert.equal(parseDurationMs("30", { name: "--x", bareUnit: "s" }), 30_000);
    assert.equal(parseDurationMs("30", { name: "xMs", bareUnit: "ms" }), 30);
  });

  it("refuses text without a number or with an unknown unit", () => {
    for (const text of ["", "5 weeks", "s", "-5s", "soon"]) {
      assert.throws(() => parseDurationMs(text, { name: "--x", bareUnit: "s" }), refused, text);
    }
  });
});
