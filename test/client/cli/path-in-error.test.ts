import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { withPathInError } from "../../../client/cli/path-in-error.ts";
import { AshlarError } from "../../../shared/base/errors.ts";

/** Returns the message of an error of `put SOURCE TARGET` as it is printed. */
async function printed(message: string, source: string, target: string): Promise<string> {
  try {
    return await withPathInError({ verb: "put", source, target }, () =>
      Promise.reject(new AshlarError("NO_SPACE", message)),
    );
  } catch (error) {
    return (error as Error).message;
  }
}

describe("the error of a transfer", () => {
  it("gets the paths if it has the name of the source only as a word or a part of words", async () => {
    const message =
      'Cannot place a chunk of class "default": expected space on at least 1 chunkserver: 10.0.0.1:7000 (abcd): full';
    for (const name of ["a", "c", "1", "on", "chunk", "class", "abc", "e"]) {
      const target = `/${name}`;
      assert.equal(
        await printed(message, name, target),
        `Cannot put ${name} to ${target}: ${message}`,
      );
    }
  });

  it("stays as it is if it names the source or the target", async () => {
    for (const message of [
      "No such file or directory: /a",
      "No such file or directory: /a (a path in the cluster)",
      "Cannot read the local path a: permission denied",
      'Cannot read "a": permission denied',
    ]) {
      assert.equal(await printed(message, "a", "/a"), message);
    }
  });
});
