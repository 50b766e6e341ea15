import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { describe, it } from "node:test";
import { AshlarError } from "../../shared/base/errors.ts";
import { MODULE_FLAGS, moduleUrl } from "../support/repository.ts";
import { TempDirectory } from "../support/temp-directory.ts";
import { FakeMaster } from "./support/fake-master.ts";
import { eventually } from "./support/real-cluster.ts";

const MAIN = moduleUrl("chunkserver/main.ts");

/** Runs a chunkserver process with these flags. Its log is written to stdout. */
function start(flags: readonly string[]): ChildProcess {
  const script = `import(${JSON.stringify(MAIN)}).then(async ({ main }) => {
    process.exitCode = await main(${JSON.stringify(flags)});
  })`;
  return spawn(process.execPath, [...MODULE_FLAGS, "--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "pipe"],
  });
}

async function exitStatus(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null) return child.exitCode;
  const [status] = (await once(child, "exit")) as [number | null];
  return status;
}

describe("the chunkserver process", () => {
  it("logs when it is ready, registers, and exits with 0 after SIGTERM", async () => {
    await using directory = await TempDirectory.make();
    await using master = await FakeMaster.start();
    const child = start([
      ...["--data-dir", `${directory.path}/data`, "--masters", master.address],
      ...["--listen", "127.0.0.1:0", "--http", "none", "--rack", "r7"],
    ]);
    assert.ok(child.stdout !== null);
    const seen: string[] = [];
    for await (const text of createInterface({ input: child.stdout })) {
      seen.push(text);
      const line = JSON.parse(text) as Record<string, unknown>;
      if (line["message"] !== "Ready") continue;
      await eventually("the server is registered", () => master.servers.size === 1);
      const [server] = master.servers.values();
      assert.equal(server?.address, line["address"]);
      assert.equal(server?.serverId, line["serverId"]);
      assert.equal(server?.rack, "r7");
      child.kill("SIGTERM");
    }
    assert.equal(await exitStatus(child), 0, seen.join("\n"));
    assert.equal(master.goodbyes.length, 1);
    const identity = await readFile(`${directory.path}/data/chunkserver.json`, "utf8");
    assert.equal((JSON.parse(identity) as { clusterId: string }).clusterId, "a".repeat(32));
  });

  it("is ready only after it has enrolled, and logs how to enrol until then", async () => {
    await using directory = await TempDirectory.make();
    await using master = await FakeMaster.start();
    const hint = "Run `ashlar server token`";
    master.refusal = new AshlarError("NOT_ENROLLED", "it has neither", { hint });
    const child = start([
      ...["--data-dir", `${directory.path}/data`, "--masters", master.address],
      ...["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"],
    ]);
    assert.ok(child.stdout !== null);
    const messages: unknown[] = [];
    let http: unknown;
    for await (const text of createInterface({ input: child.stdout })) {
      const line = JSON.parse(text) as Record<string, unknown>;
      messages.push(line["message"]);
      http ??= line["http"];
      if (line["code"] === "NOT_ENROLLED") {
        assert.equal(line["hint"], hint);
        const answer = await fetch(`http://${http}/readyz`);
        assert.equal(answer.status, 503);
        assert.match(await answer.text(), /it has neither; Run `ashlar server token`/);
        master.refusal = null;
      }
      if (line["message"] === "Ready" || messages.length > 10) child.kill("SIGTERM");
    }
    assert.equal(await exitStatus(child), 0);
    assert.deepEqual(messages.slice(0, 2), ["Listening: not ready yet", "Heartbeat failed"]);
    assert.ok(messages.includes("Ready") && master.servers.size === 1, messages.join("; "));
  });

  it("refuses to start in a directory with chunks and without an identity", async () => {
    await using directory = await TempDirectory.make();
    await mkdir(`${directory.path}/extents`);
    const child = start([
      ...["--data-dir", directory.path, "--masters", "127.0.0.1:1"],
      ...["--listen", "127.0.0.1:0", "--http", "none"],
    ]);
    let text = "";
    child.stderr?.on("data", (part: Buffer) => {
      text += part.toString();
    });
    assert.equal(await exitStatus(child), 2);
    assert.match(text, /chunkserver\.json is missing/);
    assert.match(text, /Restore chunkserver\.json/);
  });
});
