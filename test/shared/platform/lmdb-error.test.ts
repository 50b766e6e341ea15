import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { lmdbCommitError } from "../../../shared/platform/lmdb-error.ts";

describe("a failed commit of lmdb", () => {
  const store = { path: "/d/stores/s", isFull: false };

  it("has the reason that lmdb keeps in a promise", async () => {
    const reason = Object.assign(new Error("No space left on device"), { code: 28 });
    const commitError = Promise.reject(reason);
    commitError.catch(() => {}); // Awaited later.
    const error = await lmdbCommitError(store, { commitError });
    assert.equal(error.code, "NO_SPACE");
    assert.equal(error.cause, reason);
  });

  it("is NO_SPACE for EIO on a full disk", async () => {
    const reason = Object.assign(new Error("Input/output error"), { code: 5 });
    assert.equal((await lmdbCommitError(store, reason)).code, "DISK_FAILED");
    assert.equal((await lmdbCommitError({ ...store, isFull: true }, reason)).code, "NO_SPACE");
  });
});
