import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, it } from "node:test";
import * as v from "valibot";
import { runDaemon } from "../../../shared/platform/daemon.ts";
import { MODULE_FLAGS, moduleUrl } from "../../support/repository.ts";
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

  for (const [isJob, status] of [
    [false, 0],
    [true, 143],
  ] as const) {
    it(`ends with ${status} a ${isJob ? "job" : "server"} whose start ignores the stop`, async () => {
      await using directory = await TempDirectory.make();
      const flags = ["--data-dir", directory.path];
      const script = `
        const { runDaemon } = await import(${JSON.stringify(moduleUrl("shared/platform/daemon.ts"))});
        const v = await import(${JSON.stringify(import.meta.resolve("valibot"))});
        const start = ({ env }) => {
          env.log.info("Starting");
          return new Promise(() => setInterval(() => {}, 1000));
        };
        process.exitCode = await runDaemon({
          ...{ role: "test", schema: v.strictObject({ dataDir: v.string() }), describe: {} },
          ...{ stopMsMax: () => 600_000, isJob: ${isJob}, start },
        }, ${JSON.stringify(flags)});
      `;
      const child = spawn(
        process.execPath,
        [...MODULE_FLAGS, "--input-type=module", "-e", script],
        {
          stdio: ["ignore", "pipe", "inherit"],
          timeout: 30_000,
          killSignal: "SIGKILL",
        },
      );
      const exited = once(child, "exit");
      let output = "";
      for await (const part of child.stdout) {
        output += part;
        if (String(part).includes("Starting")) child.kill("SIGTERM");
      }
      assert.deepEqual(await exited, [status, null], output);
      assert.match(output, /Stopped before the start had ended/);
    });
  }
});
