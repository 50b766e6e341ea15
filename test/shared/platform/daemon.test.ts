import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as v from "valibot";
import { runDaemon } from "../../../shared/platform/daemon.ts";
import { TempDirectory } from "../../support/temp-directory.ts";

/** Timers that keep the process from its end. */
function timerCount(): number {
  return process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
}

describe("a daemon", () => {
  it("tells of a stop that failed, and waits for nothing then", async () => {
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
