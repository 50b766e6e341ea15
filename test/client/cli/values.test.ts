import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { bytesOfText, textOfBytes } from "../../../client/cli/argument-text.ts";
import { parseByteRange } from "../../../client/cli/byte-range.ts";
import {
  parseCount,
  parseDurationMs,
  parseMode,
  parseTimeMs,
} from "../../../client/cli/parse-values.ts";
import { parseAsOf } from "../../../client/cli/read-flags.ts";
import { childPath, parseRemotePath } from "../../../client/cli/remote-paths.ts";
import { parseSizeBytes } from "../../../shared/display/quantities.ts";

const refused = { code: "INVALID_ARGUMENT" };
const bytes = (text: string): Buffer => Buffer.from(text, "latin1");

describe("conversion of names to text", () => {
  it("restores any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (name) => {
        assert.deepEqual(Buffer.from(bytesOfText(textOfBytes(name))), Buffer.from(name));
      }),
    );
  });

  it("returns UTF-8 bytes as their text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        assert.equal(textOfBytes(Buffer.from(text)), text);
      }),
    );
    assert.equal(textOfBytes(bytes("a\xff\xc3\xbc")), "a\udcffü");
  });

  it("parses paths with and without the scheme", () => {
    assert.equal(parseRemotePath("ashlar:/a//b/../c/").text, "/a/c");
    assert.equal(parseRemotePath("/a\udcff").text, "/a\\xff");
    assert.throws(() => parseRemotePath("a"), refused);
    assert.equal(Buffer.from(childPath(bytes("/"), bytes("a"))).toString(), "/a");
  });
});

describe("values on the command line", () => {
  it("are sizes: powers of 1024 with one letter or an i, powers of 1000 with B", () => {
    const sizes = [
      ["4096", 4096],
      ["10M", 10_485_760],
      ["10MiB", 10_485_760],
      ["10MB", 1e7],
    ] as const;
    for (const [text, size] of sizes) assert.equal(parseSizeBytes(text, "--x"), size);
    assert.equal(parseSizeBytes("1.5k", "--x"), 1536);
    for (const text of ["", "-1", "10X", "1e3", "M"]) {
      assert.throws(() => parseSizeBytes(text, "--x"), refused, text);
    }
  });

  it("are durations; a plain number is in seconds", () => {
    const durations = [
      ["500ms", 500],
      ["30", 30_000],
      ["2m", 120_000],
      ["1.5h", 5_400_000],
    ] as const;
    for (const [text, durationMs] of durations)
      assert.equal(parseDurationMs(text, "--x"), durationMs);
    assert.throws(() => parseDurationMs("soon", "--x"), refused);
  });

  it("are counts and modes", () => {
    assert.equal(parseCount("0", "--x"), 0);
    assert.throws(() => parseCount("0", "--x", 1), refused);
    assert.throws(() => parseCount("1.5", "--x"), refused);
    assert.equal(parseMode("0755", "--x"), 0o755);
    for (const text of ["8", "u+x", "", "77777"])
      assert.throws(() => parseMode(text, "--x"), refused);
  });

  it("are byte ranges in the notation of HTTP", () => {
    assert.deepEqual(parseByteRange("2-4", 10), { start: 2, end: 5 });
    assert.deepEqual(parseByteRange("2-", 10), { start: 2 });
    assert.deepEqual(parseByteRange("-3", 10), { start: 7 });
    assert.deepEqual(parseByteRange("-30", 10), { start: 0 });
    for (const text of ["", "-", "4-2", "a-b", "1-2,3-4"]) {
      assert.throws(() => parseByteRange(text, 10), refused, text);
    }
  });
});

describe("a value of --at", () => {
  it("is a log index, a time, or a duration before now", () => {
    assert.equal(parseAsOf("1234", "--at"), 1234);
    for (const text of [
      "2026-11-21 09:00:00Z",
      "2026-11-21T10:00:00.0+0100",
      "2026-11-21T09:00Z",
    ]) {
      assert.deepEqual(parseAsOf(text, "--at"), { timeMs: 1_795_251_600_000 }, text);
    }
    assert.deepEqual(parseAsOf("2024-02-29", "--at"), { timeMs: Date.UTC(2024, 1, 29) });
    assert.deepEqual(parseAsOf("2026-11-21T09:00:00Z", "--at"), { timeMs: 1_795_251_600_000 });
    assert.deepEqual(parseAsOf("2026-11-21T10:00:00+01:00", "--at"), { timeMs: 1_795_251_600_000 });
    assert.deepEqual(parseAsOf("2h", "--at"), { agoMs: 7_200_000 });
    assert.deepEqual(parseAsOf("90 s", "--at"), { agoMs: 90_000 });
  });

  it("is refused in any other form", () => {
    for (const text of ["", "yesterday", "2026-99-99", "-5", "1.5", "2026-11-21T25:00Z"]) {
      assert.throws(() => parseAsOf(text, "--at"), refused, text);
    }
    // Date.parse takes these for another time.
    for (const text of ["2026-02-31", "2026-02-29T00:00Z", "2026-11-21 (noon)", "2026-11-21T09Z"]) {
      assert.throws(() => parseAsOf(text, "--at"), refused, text);
      assert.throws(() => parseTimeMs(text, { name: "--date", nowMs: 0 }), refused, text);
    }
  });
});
