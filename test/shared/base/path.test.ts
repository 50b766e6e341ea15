import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { toHex } from "../../../shared/base/bytes.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import {
  displayName,
  type EntryName,
  endOfPath,
  isUtf8,
  isWithin,
  joinPath,
  parseEntryName,
  parsePath,
  tidyPath,
} from "../../../shared/base/path.ts";
import { NAME_BYTES_MAX, PATH_BYTES_MAX } from "../../../shared/base/path-faults.ts";

const utf8 = new TextEncoder();
const textOf = (path: string): string => Buffer.from(joinPath(parsePath(path))).toString();
const someName = fc
  .uint8Array({ minLength: 1, maxLength: 12 })
  .map((bytes) => bytes.map((byte) => (byte === 0x2f || byte === 0 ? 0x61 : byte)))
  .filter((bytes) => !["2e", "2e2e"].includes(toHex(bytes)));

describe("paths (path_resolution(7))", () => {
  it("skip repeated and trailing slashes and dots, and resolve ..", () => {
    const expected: Readonly<Record<string, string>> = {
      "/": "/",
      "//": "/",
      "/a/b": "/a/b",
      "//a///b/": "/a/b",
      "/a/./b/.": "/a/b",
      "/a/../b": "/b",
      "/a/b/..": "/a",
      "/..": "/",
      "/../../a": "/a",
      "/...": "/...",
      "/.a/..b": "/.a/..b",
      "/ ä€😀": "/ ä€😀",
    };
    for (const [path, normal] of Object.entries(expected)) assert.equal(textOf(path), normal, path);
  });

  it("are refused if they are relative, contain a NUL or are not Unicode text", () => {
    for (const path of ["", "a", "./a", "a/b", "/a\0b", "/\0", "/a\ud800", "/\udc00b"]) {
      assert.throws(
        () => parsePath(path),
        (error) => isAshlarError(error, "INVALID_ARGUMENT"),
        JSON.stringify(path),
      );
    }
  });

  it("have at most 64 KiB, and names of at most 255 bytes", () => {
    const long = (error: unknown): boolean => isAshlarError(error, "NAME_TOO_LONG");
    assert.equal(parsePath(`/${"a".repeat(NAME_BYTES_MAX)}`).length, 1);
    assert.throws(() => parsePath(`/${"a".repeat(NAME_BYTES_MAX + 1)}`), long);
    assert.throws(() => parsePath(`/${"ä".repeat(128)}`), long);
    assert.equal(parsePath("/a".repeat(PATH_BYTES_MAX / 2)).length, PATH_BYTES_MAX / 2);
    assert.throws(() => parsePath(`/${"a/".repeat(PATH_BYTES_MAX / 2)}`), long);
  });

  it("keep any bytes of the names when they are joined and parsed", () => {
    const property = fc.property(fc.array(someName, { maxLength: 8 }), (names) => {
      const path = joinPath(names.map((name) => parseEntryName(name)));
      assert.deepEqual(parsePath(path).map(toHex), names.map(toHex));
    });
    fc.assert(property);
  });

  it("refuse an entry name that is empty, `.` or `..`, or contains a slash or a NUL", () => {
    for (const name of ["", ".", "..", "a/b", "/", "a\0"]) {
      assert.throws(
        () => parseEntryName(utf8.encode(name)),
        (error) => isAshlarError(error, "INVALID_ARGUMENT"),
        JSON.stringify(name),
      );
    }
    for (const name of ["...", ". ", "-", "\\", "\n"]) {
      assert.deepEqual(parseEntryName(utf8.encode(name)), utf8.encode(name));
    }
  });

  it("are compared by whole names, not by prefixes of the text", () => {
    const within = (inner: string, outer: string): boolean =>
      isWithin(parsePath(inner), parsePath(outer));
    assert.ok(within("/a/b", "/a"));
    assert.ok(within("/a", "/a"));
    assert.ok(within("/a", "/"));
    assert.ok(!within("/ab", "/a"));
    assert.ok(!within("/a", "/a/b"));
    assert.ok(!within("/b/a", "/a"));
  });
});

describe("displayName", () => {
  const shown = (...bytes: readonly number[]): string => displayName(Uint8Array.from(bytes));

  it("returns plain text unchanged, and escapes control characters and backslashes", () => {
    assert.equal(displayName(utf8.encode("Grüße 😀.txt")), "Grüße 😀.txt");
    assert.equal(displayName(utf8.encode("a\nb\tc\rd\\e\x1b[31m")), "a\\nb\\tc\\rd\\\\e\\x1b[31m");
    assert.equal(shown(0x7f), "\\x7f");
  });

  it("escapes bytes that are not UTF-8: lone, overlong, surrogate, truncated", () => {
    assert.equal(shown(0xff, 0x61), "\\xffa");
    assert.equal(shown(0xc0, 0xaf), "\\xc0\\xaf");
    assert.equal(shown(0xed, 0xa0, 0x80), "\\xed\\xa0\\x80");
    assert.equal(shown(0xe2, 0x82), "\\xe2\\x82");
    assert.equal(shown(0xf5, 0x80, 0x80, 0x80), "\\xf5\\x80\\x80\\x80");
  });

  it("escapes C1 controls, line separators and direction marks, which terminals interpret", () => {
    assert.equal(shown(0xc2, 0x9b), "\\xc2\\x9b");
    assert.equal(displayName(utf8.encode("\u0085\u2028\u2029")).includes("\u2028"), false);
    assert.equal(displayName(utf8.encode("a\u202egpj.exe")), "a\\xe2\\x80\\xaegpj.exe");
  });

  it("returns one line, and different texts for different names", () => {
    const seen = new Map<string, string>();
    const property = fc.property(fc.uint8Array({ maxLength: 6 }), (bytes) => {
      const text = displayName(bytes as EntryName);
      assert.doesNotMatch(text, /[\p{Cc}\p{Zl}\p{Zp}]/u);
      assert.equal(seen.get(text) ?? toHex(bytes), toHex(bytes));
      seen.set(text, toHex(bytes));
    });
    fc.assert(property, { numRuns: 500 });
  });

  it("agrees with isUtf8 about valid UTF-8", () => {
    assert.ok(isUtf8(utf8.encode("ä\uFEFF")));
    assert.ok(!isUtf8(Uint8Array.of(0xc3)));
  });
});

describe("the end of a path", () => {
  const ENDS: Readonly<Record<string, readonly [tidy: string, end: string]>> = {
    "/": ["/", "name"],
    "///": ["/", "name"],
    "/a": ["/a", "name"],
    "/a.": ["/a.", "name"],
    "/.a": ["/.a", "name"],
    "/...": ["/...", "name"],
    "/a..": ["/a..", "name"],
    "/a/../b": ["/b", "name"],
    "/a/": ["/a/", "slash"],
    "//a//": ["/a/", "slash"],
    "/.../": ["/.../", "slash"],
    "/a/.": ["/a/.", "dots"],
    "/a/./": ["/a/./", "dots"],
    "/a/..": ["/a/..", "dots"],
    "/a/..//": ["/a/..//", "dots"],
    "/.": ["/.", "dots"],
    "/..": ["/..", "dots"],
  };

  for (const [path, [tidy, end]] of Object.entries(ENDS)) {
    it(`of ${path} is: ${end}`, () => {
      assert.equal(endOfPath(Buffer.from(path)), end);
      assert.equal(Buffer.from(tidyPath(path)).toString(), tidy);
      assert.deepEqual(parsePath(tidyPath(path)), parsePath(path));
    });
  }
});
