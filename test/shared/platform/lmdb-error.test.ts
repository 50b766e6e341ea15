import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { lmdbCommitError } from "../../../shared/platform/lmdb-error.ts";

/** The error of lmdb for a failed page write. Its message contains values from the stack. */
function refusedPage(code: number, sizes: string): object {
  const words = `Attempting to write page at position 28672, size 4096, blocks 1, buffer sizes ${sizes}`;
  const reason = Object.assign(new Error(`No space left on device: ${words}`), { code });
  const commitError = Promise.reject(reason);
  commitError.catch(() => {}); // Awaited later.
  return { commitError };
}

describe("a failed commit of lmdb", () => {
  const store = { path: "/d/stores/s", isFull: false };

  it("is NO_SPACE for ENOSPC, and the store stays usable", async () => {
    const error = await lmdbCommitError(store, refusedPage(28, "4096 4096 4096"));
    assert.equal(error.code, "NO_SPACE");
  });

  it("is DISK_FAILED if the message is longer than lmdb's buffer for it", async () => {
    // As seen: 105 bytes with the terminating zero, in a buffer of 100.
    const error = await lmdbCommitError(store, refusedPage(28, "4096 1392495072 1392495072"));
    assert.equal(error.code, "DISK_FAILED");
    assert.match(error.hint ?? "", /Restart the process/);
    // 99 characters and the terminating zero fit.
    const fits = await lmdbCommitError(store, refusedPage(28, "4096 1392495 13924950"));
    assert.equal(fits.message.slice(fits.message.indexOf("Attempting")).length, 99);
    assert.equal(fits.code, "NO_SPACE");
  });

  it("is NO_SPACE for EIO on a full disk", async () => {
    const reason = Object.assign(new Error("Input/output error"), { code: 5 });
    assert.equal((await lmdbCommitError(store, reason)).code, "DISK_FAILED");
    assert.equal((await lmdbCommitError({ ...store, isFull: true }, reason)).code, "NO_SPACE");
  });
});
