import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, rename, rm } from "node:fs/promises";
import { describe, it } from "node:test";
import { LogFile } from "../../../shared/platform/log-file.ts";
import { MODULE_FLAGS, moduleUrl } from "../../support/repository.ts";
import { TempDirectory } from "../../support/temp-directory.ts";

/** A daemon that logs a line for each line of its standard input. */
const DAEMON = `
  const { runDaemonProcess } = await import(${JSON.stringify(moduleUrl("shared/platform/daemon-process.ts"))});
  const v = await import("valibot");
  process.exitCode = await runDaemonProcess({
    role: "gateway", schema: v.strictObject({}), describe: {}, stopMsMax: () => 5000,
    start: async ({ env, config }) => {
      if (process.env.FAILS) throw new Error("no disk");
      process.stdin.setEncoding("utf8").on("data", (text) => {
        for (const line of text.trim().split("\\n")) env.log.info(line);
      });
      return { facts: {}, [Symbol.asyncDispose]: async () => process.stdin.destroy() };
    },
  }, process.argv.slice(1));
`;

function startDaemon(flags: readonly string[], environment: Record<string, string> = {}) {
  const options = [...MODULE_FLAGS, "--input-type=module", "-e", DAEMON, "--", ...flags];
  return spawn(process.execPath, options, { env: { ...process.env, ...environment } });
}

async function messages(path: string): Promise<string[]> {
  const text = await readFile(path, "utf8").catch(() => "");
  const lines = text.split("\n").filter((line) => line !== "");
  return lines.map((line) => (JSON.parse(line) as { readonly message: string }).message);
}

async function untilLogged(path: string, message: string): Promise<void> {
  const endMs = performance.now() + 20_000;
  while (!(await messages(path)).includes(message)) {
    assert.ok(performance.now() < endMs, `${message} in ${path}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

describe("log rotation of a daemon", () => {
  it("continues in a new file after a rename and SIGHUP, and loses no line", async () => {
    await using directory = await TempDirectory.make();
    const path = `${directory.path}/logs/gateway.log`;
    const daemon = startDaemon(["--log-to", path]);
    const exited = once(daemon, "exit");
    await untilLogged(path, "Ready");
    daemon.stdin.write("first\n");
    await untilLogged(path, "first");
    await rename(path, `${path}.1`);
    daemon.stdin.write("second\n");
    await untilLogged(`${path}.1`, "second");
    daemon.kill("SIGHUP");
    await untilLogged(path, "Reopened the log file");
    daemon.stdin.write("third\n");
    await untilLogged(path, "third");
    daemon.kill("SIGTERM");
    assert.deepEqual(await exited, [0, null]);
    assert.deepEqual(await messages(`${path}.1`), ["Ready", "first", "second"]);
    assert.deepEqual(await messages(path), [
      "Reopened the log file",
      "third",
      "Stopping",
      "Stopped",
    ]);
  });

  it("reports in the log file and on stderr why a daemon cannot start", async () => {
    await using directory = await TempDirectory.make();
    const path = `${directory.path}/gateway.log`;
    const daemon = startDaemon(["--log-to", path], { FAILS: "1" });
    let stderr = "";
    daemon.stderr.on("data", (text) => {
      stderr += text;
    });
    await once(daemon, "close");
    assert.equal(daemon.exitCode, 1);
    assert.deepEqual(await messages(path), ["Ending with an error"]);
    assert.equal((JSON.parse(stderr) as { readonly message: string }).message, "no disk");
  });

  it("continues in the old file if the new one cannot be opened", async () => {
    await using directory = await TempDirectory.make();
    const path = `${directory.path}/a.log`;
    const file = new LogFile(path);
    file.write('{"message":"one"}\n');
    await rename(path, `${path}.1`);
    await mkdir(path);
    assert.throws(() => file.reopen(), { code: "EISDIR" });
    file.write('{"message":"two"}\n');
    assert.deepEqual(await messages(`${path}.1`), ["one", "two"]);
    await rm(path, { recursive: true });
    file.reopen();
    file.write('{"message":"three"}\n');
    assert.deepEqual(await messages(path), ["three"]);
  });

  it("survives a full disk", () => {
    // Every write to this device fails with ENOSPC: full(4).
    const file = new LogFile("/dev/full");
    file.write("lost\n");
    file.write("lost, too\n");
  });
});
