import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { lmdbCommitError } from "../../../shared/platform/lmdb-error.ts";

/** What lmdb throws for a page that was not written: its words hold what lay on the stack. */
function refusedPage(code: number, sizes: string): object {
  const words = `Attempting to write page at position 28672, size 4096, blocks 1, buffer sizes ${sizes}`;
  const reason = Object.assign(new Error(`No space left on device: ${words}`), { code });
  const commitError = Promise.reject(reason);
  commitError.catch(() => {}); // It is awaited later.
  return { commitError };
}

describe("a commit that lmdb could not do", () => {
  const store = { path: "/d/stores/s", isFull: false };

  it("found no room, and the store goes on", async () => {
    const error = await lmdbCommitError(store, refusedPage(28, "4096 4096 4096"));
    assert.equal(error.code, "NO_SPACE");
  });

  it("ends the store if the words were longer than the memory that lmdb took for them", async () => {
    // As it was seen: 105 bytes with the zero at their end, in 100.
    const error = await lmdbCommitError(store, refusedPage(28, "4096 1392495072 1392495072"));
    assert.equal(error.code, "DISK_FAILED");
    assert.match(error.hint ?? "", /anew/);
    // 99 characters and the zero fit.
    const fits = await lmdbCommitError(store, refusedPage(28, "4096 1392495 13924950"));
    assert.equal(fits.message.slice(fits.message.indexOf("Attempting")).length, 99);
    assert.equal(fits.code, "NO_SPACE");
  });

  it("is EIO on a disk that is full", async () => {
    const reason = Object.assign(new Error("Input/output error"), { code: 5 });
    assert.equal((await lmdbCommitError(store, reason)).code, "DISK_FAILED");
    assert.equal((await lmdbCommitError({ ...store, isFull: true }, reason)).code, "NO_SPACE");
  });
});
