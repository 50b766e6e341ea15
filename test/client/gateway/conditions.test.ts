import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  evaluateConditions,
  isRangeApplicable,
  preconditionsOf,
} from "../../../client/gateway/conditions.ts";
import type { FileAttributes } from "../../../client/index.ts";

const FILE = {
  kind: "file",
  version: 7,
  mtimeMs: Date.UTC(1994, 10, 6, 8, 49, 37, 250),
  contentRoot: new Uint8Array(32),
} as FileAttributes;
/** The forms of RFC 9110, section 5.6.7. */
const FORMS = [
  "Sun, 06 Nov 1994 08:49:37 GMT",
  "Sunday, 06-Nov-94 08:49:37 GMT",
  "Sun Nov  6 08:49:37 1994",
];
const MALFORMED = ["", "5", "99999", "foo 2050", "Sun, 06 Nov 2050 08:49:37", "2050-11-06"];

describe("conditions with dates (RFC 9110, section 13)", () => {
  const { TZ } = process.env;
  before(() => {
    process.env["TZ"] = "America/New_York";
  });
  after(() => {
    if (TZ === undefined) delete process.env["TZ"];
    else process.env["TZ"] = TZ;
  });

  it("have three forms, all in GMT", () => {
    for (const date of FORMS) {
      const before = date.replace(":37", ":36");
      const since = (value: string) => ({ "if-modified-since": value });
      assert.equal(evaluateConditions("GET", since(date), FILE), "not-modified", date);
      assert.equal(evaluateConditions("GET", since(before), FILE), "proceed", before);
      const unless = (value: string) => ({ "if-unmodified-since": value });
      assert.equal(evaluateConditions("PUT", unless(date), FILE), "proceed", date);
      assert.equal(evaluateConditions("PUT", unless(before), FILE), "failed", before);
    }
  });

  it("are ignored if they are malformed", () => {
    for (const date of MALFORMED) {
      assert.equal(evaluateConditions("GET", { "if-modified-since": date }, FILE), "proceed", date);
      assert.equal(evaluateConditions("PUT", { "if-unmodified-since": date }, FILE), "proceed");
      assert.deepEqual(preconditionsOf({ "if-unmodified-since": date }, {}, FILE), [], date);
    }
  });

  it("never apply to ranges: two versions can have one time", () => {
    for (const date of FORMS) assert.equal(isRangeApplicable({ "if-range": date }, FILE), false);
    const etag = `"${"0".repeat(64)}"`;
    assert.equal(isRangeApplicable({ "if-range": etag }, FILE), true);
    assert.equal(isRangeApplicable({ "if-range": `W/${etag}` }, FILE), false);
    assert.equal(isRangeApplicable({}, FILE), true);
  });
});
