import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, it } from "node:test";
import { MODULE_FLAGS, moduleUrl } from "../support/repository.ts";
import { TempDirectory } from "../support/temp-directory.ts";

const MAIN = moduleUrl("master/main.ts");
/** Timeout of the process, in milliseconds. A process that runs longer does not end by itself. */
const END_MS_MAX = 30_000;

function start(flags: readonly string[]): ChildProcess {
  const script = `import(${JSON.stringify(MAIN)}).then(async ({ main }) => {
    process.exitCode = await main(${JSON.stringify(flags)});
  })`;
  return spawn(process.execPath, [...MODULE_FLAGS, "--input-type=module", "-e", script], {
    stdio: ["ignore", "ignore", "pipe"],
    timeout: END_MS_MAX,
    killSignal: "SIGKILL",
  });
}

describe("the process of a master", () => {
  it("ends if it cannot listen for HTTP, and leaves the group", async () => {
    await using directory = await TempDirectory.make();
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const child = start([
      ...["--data-dir", `${directory.path}/data`, "--cluster-id", "a".repeat(32)],
      ...["--member-id", "1", "--members", "1=127.0.0.1:1", "--listen", "127.0.0.1:0"],
      ...["--http", `127.0.0.1:${(other.address() as AddressInfo).port}`],
    ]);
    let text = "";
    child.stderr?.on("data", (part: Buffer) => {
      text += part.toString();
    });
    const ended = await once(child, "exit");
    other.close();
    assert.deepEqual(ended, [2, null], text);
    assert.match(text, /Cannot listen at/);
  });
});
