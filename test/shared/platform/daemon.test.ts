import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as v from "valibot";
import { runDaemon } from "../../../shared/platform/daemon.ts";
import { TempDirectory } from "../../support/temp-directory.ts";

/** Returns the number of timers that keep the process alive. */
function timerCount(): number {
  return process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
}

describe("a daemon", () => {
  it("returns status 1 and leaves no timer when the stop fails", async () => {
    await using directory = await TempDirectory.make();
    const before = timerCount();
    const status = await runDaemon(
      {
        role: "test",
        schema: v.strictObject({ dataDir: v.string() }),
        describe: {},
        stopMsMax: () => 600_000,
        start: async () => ({
          facts: {},
          report: "done",
          [Symbol.asyncDispose]: () => Promise.reject(new Error("The disk could not be closed")),
        }),
      },
      ["--data-dir", directory.path, "--log-level", "silent"],
    );
    assert.equal(status, 1);
    assert.equal(timerCount(), before);
  });
});
