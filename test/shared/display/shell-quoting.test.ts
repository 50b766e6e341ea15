import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, it } from "node:test";
import { shellQuoted } from "../../../shared/display/shell-quoting.ts";

describe("a word quoted for the shell", () => {
  it("is read back by sh as it was, for every ASCII character", () => {
    const all = Array.from({ length: 127 }, (_, index) => String.fromCharCode(index + 1));
    const words = ["", "plain", "-x", "a b", "it's", "$(id)", "~", "ü 日", all.join(""), ...all];
    const line = words.map((word) => `printf '%s\\0' ${shellQuoted(word)}`).join("\n");
    const { stdout, status } = spawnSync("sh", ["-c", line], { encoding: "utf8" });
    assert.equal(status, 0);
    assert.deepEqual(stdout.split("\0").slice(0, -1), words);
  });

  it("leaves plain words as they are", () => {
    for (const word of ["/tmp/five", "10.0.0.1:7400,a:1", "a_b-c.d"]) {
      assert.equal(shellQuoted(word), word);
    }
  });
});
