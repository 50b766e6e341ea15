import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { targetOf } from "../../../client/names/target.ts";
import { tidyPath } from "../../../shared/base/path.ts";

describe("the target of a path", () => {
  it("equals the tidy path, also on the fast path", () => {
    const part = fc.constantFrom("/", "a", ".", "..", "é", "日本", "\\", "\n", "x".repeat(90), " ");
    fc.assert(
      fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
        const path = `/${parts.join("")}`;
        let expected: Uint8Array | string;
        try {
          expected = tidyPath(path);
        } catch (error) {
          expected = String(error);
        }
        let found: Uint8Array | string | undefined;
        try {
          found = targetOf(path).path;
        } catch (error) {
          found = String(error);
        }
        assert.deepEqual(found, expected);
      }),
      { numRuns: 2000 },
    );
  });
});
