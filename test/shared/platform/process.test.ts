import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, it } from "node:test";
import { MODULE_FLAGS, moduleUrl } from "../../support/repository.ts";

const moduleOf = (name: string): string => JSON.stringify(moduleUrl(`shared/platform/${name}`));

/**
 * Runs `body` in a child process. `body` calls `ready()` before the first of `signals` is sent.
 * Resolves to the exit status and the output when the process has ended.
 */
async function run(
  body: string,
  signals: readonly NodeJS.Signals[],
): Promise<{ readonly status: number | null; readonly lines: readonly string[] }> {
  const script = `
    const { watchProcess } = await import(${moduleOf("process.ts")});
    const { createLog } = await import(${moduleOf("pino-log.ts")});
    const timer = setInterval(() => {}, 1000);
    const deps = { log: createLog({ to: "stdout", level: "info" }), exit: (status) => process.exit(status) };
    const ready = () => process.stdout.write("ready\\n");
    ${body}
  `;
  const options = [...MODULE_FLAGS, "--input-type=module", "-e", script];
  const child = spawn(process.execPath, options, { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  const exited = once(child, "exit");
  let sent = 0;
  for await (const part of child.stdout) {
    output += part;
    const signal = signals[sent];
    // The next signal is sent when the process has responded to the previous one.
    if (signal !== undefined && output.trimEnd().split("\n").length > sent) {
      sent += 1;
      child.kill(signal);
    }
  }
  const [status] = (await exited) as [number | null];
  return { status, lines: output.trimEnd().split("\n") };
}

describe("a watched process", () => {
  it("starts a graceful stop at the first signal", async () => {
    const body = "watchProcess({ ...deps, onStop: () => clearInterval(timer) }); ready();";
    const { status, lines } = await run(body, ["SIGTERM"]);
    assert.equal(status, 0);
    assert.match(lines.at(-1) ?? "", /"message":"Stopping"/);
  });

  it("exits immediately at the second signal", async () => {
    const body = "watchProcess({ ...deps, onStop: () => {} }); ready();";
    const { status } = await run(body, ["SIGTERM", "SIGINT"]);
    assert.equal(status, 130);
  });

  it("logs the stack of an uncaught error and exits", async () => {
    for (const bug of [
      "setTimeout(() => { throw new Error('oops'); })",
      "Promise.reject(new Error('oops'))",
    ]) {
      const { status, lines } = await run(
        `watchProcess({ ...deps, onStop: () => {} }); ${bug};`,
        [],
      );
      assert.equal(status, 70);
      const line = JSON.parse(lines.at(-1) ?? "") as { message: string; error: { stack: string } };
      assert.equal(line.message, "Exiting after an uncaught error");
      assert.match(line.error.stack, /oops/);
    }
  });
});
