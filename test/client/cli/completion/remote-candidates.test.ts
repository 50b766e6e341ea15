import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { nameBefore } from "../../../../client/cli/completion/remote-candidates.ts";
import { parseEntryName } from "../../../../shared/base/path.ts";

/** All names of up to three bytes of an alphabet that has the bytes next to those that names lack. */
function shortNames(): Buffer[] {
  const alphabet = [0x01, 0x02, 0x2d, 0x2e, 0x30, 0x31, 0xfe, 0xff];
  let longest: Buffer[] = [Buffer.alloc(0)];
  const names: Buffer[] = [];
  for (let length = 1; length <= 3; length += 1) {
    longest = longest.flatMap((name) => alphabet.map((byte) => Buffer.from([...name, byte])));
    names.push(...longest);
  }
  return names.filter((name) => ![".", ".."].includes(name.toString("latin1")));
}

describe("the name before a prefix", () => {
  it("separates the names with the prefix and larger ones from all smaller names", () => {
    const names = shortNames();
    for (const prefix of names) {
      const before = nameBefore(prefix);
      if (before !== null) parseEntryName(before);
      for (const name of names) {
        const isAfter = before === null || Buffer.compare(name, before) > 0;
        assert.equal(
          isAfter,
          Buffer.compare(name, prefix) >= 0,
          `${name.toString("hex")} ${prefix.toString("hex")}`,
        );
      }
    }
  });
});
