import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { pathErrorMessage } from "../../../shared/base/path-errors.ts";

describe("pathErrorMessage", () => {
  it("uses the words of strerror(3) and names the path", () => {
    const messages = [
      pathErrorMessage("NOT_FOUND", "/nothing"),
      pathErrorMessage("ALREADY_EXISTS", "/a"),
      pathErrorMessage("NOT_A_DIRECTORY", "/a/file"),
      pathErrorMessage("IS_A_DIRECTORY", "/a"),
      pathErrorMessage("NOT_EMPTY", "/a"),
    ];
    assert.deepEqual(messages, [
      "No such file or directory: /nothing",
      "File exists: /a",
      "Not a directory: /a/file",
      "Is a directory: /a",
      "Directory not empty: /a",
    ]);
  });
});
