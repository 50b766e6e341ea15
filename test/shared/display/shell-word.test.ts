import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, it } from "node:test";
import { shellWord } from "../../../shared/display/shell-word.ts";

/** Passes the words through bash. @returns the bytes that a command receives for each */
function throughBash(words: readonly string[]): Buffer[] {
  const script = `printf '%s\\0' ${words.join(" ")}`;
  // Without --norc, bash reads ~/.bashrc if its stdin is a socket.
  const { stdout, status } = spawnSync("bash", ["--norc", "-c", script]);
  assert.equal(status, 0);
  const received: Buffer[] = [];
  for (let start = 0; start < stdout.length; ) {
    const end = stdout.indexOf(0, start);
    received.push(stdout.subarray(start, end));
    start = end + 1;
  }
  return received;
}

describe("a word for the shell", () => {
  it("is read as the same bytes, for names of every byte from 1 to 255", () => {
    const bytes = Array.from({ length: 255 }, (_, index) => index + 1);
    const names = [
      ...bytes.map((byte) => Buffer.of(byte)),
      ...bytes.map((byte) => Buffer.from([0x61, byte, 0x31, byte])),
      Buffer.from(bytes),
      Buffer.from("/Fotos Übung/it's $(touch x) `y` \\n \\\\ !z"),
      Buffer.from("ü\n\\x41'!"),
      Buffer.from("\u202e\u2028😀"),
      Buffer.from("~/a"),
      Buffer.from("a=b"),
      Buffer.from("{a,b}*?[c]"),
      Buffer.alloc(0),
    ];
    const words = names.map(shellWord);
    assert.deepEqual(throughBash(words), names);
    for (const word of words) assert.doesNotMatch(word, /\n/);
  });

  it("is readable where no quotes are needed", () => {
    assert.equal(shellWord("/photos/2026-07/a.jpg"), "/photos/2026-07/a.jpg");
    assert.equal(shellWord("/Fotos Übung"), "'/Fotos Übung'");
    assert.equal(shellWord("it's"), "'it'\\''s'");
    assert.equal(shellWord("a\nb"), "$'a\\nb'");
  });
});
