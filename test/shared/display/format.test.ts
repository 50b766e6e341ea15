import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  formatCount,
  formatMode,
  formatSize,
  formatTime,
  jsonName,
} from "../../../shared/display/format.ts";

const bytes = (text: string): Buffer => Buffer.from(text, "latin1");

describe("formatCount", () => {
  it("uses the singular only for 1", () => {
    assert.deepEqual(
      [0, 1, 2].map((count) => formatCount(count, "file")),
      ["0 files", "1 file", "2 files"],
    );
    assert.equal(formatCount(1, "directory", "directories"), "1 directory");
    assert.equal(formatCount(2, "directory", "directories"), "2 directories");
  });
});

describe("formatSize", () => {
  it("returns powers of 1024 for people and exact bytes otherwise", () => {
    assert.equal(formatSize(1536, true), "1.5 KiB");
    assert.equal(formatSize(1536, false), "1536");
  });
});

describe("formatTime", () => {
  it("formats every time that a file can have", () => {
    assert.equal(formatTime(0), "1970-01-01T00:00:00.000Z");
    assert.match(formatTime(Number.MAX_SAFE_INTEGER), /^\+275760-/);
    assert.match(formatTime(-1e20), /^-271821-/);
  });

  it("rounds fractions down, also before 1970", () => {
    assert.equal(formatTime(0.9), "1970-01-01T00:00:00.000Z");
    assert.equal(formatTime(-0.1), "1969-12-31T23:59:59.999Z");
  });
});

describe("formatMode", () => {
  it("shows all twelve bits as ls(1) does", () => {
    const expected: Readonly<Record<string, number>> = {
      "-rwxr-xr-x": 0o755,
      "-rwsr-xr-x": 0o4755,
      "-rwSr-Sr-T": 0o7644,
      "-rwxrwsrwx": 0o2777,
      "-rwxrwxrwt": 0o1777,
      "---S--S--T": 0o7000,
      "----------": 0,
    };
    for (const [text, mode] of Object.entries(expected)) {
      assert.equal(formatMode({ kind: "file", mode }), text);
    }
  });
});

describe("jsonName", () => {
  it("adds the bytes in base64 to a name that is not UTF-8", () => {
    assert.deepEqual(jsonName("path", bytes("/\xff")), { path: "/\ufffd", path_base64: "L/8=" });
    assert.deepEqual(jsonName("path", Buffer.from("/ü\n")), { path: "/ü\n" });
  });
});
