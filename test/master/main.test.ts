import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createInterface } from "node:readline";
import { describe, it } from "node:test";
import { openMemberStorage } from "../../master/storage/open-member-storage.ts";
import type { ClusterId, MemberId } from "../../shared/base/ids.ts";
import { LmdbStores } from "../../shared/platform/lmdb-store.ts";
import { NodeDisk } from "../../shared/platform/node-disk.ts";
import { SystemRandom } from "../../shared/platform/system-random.ts";
import { MODULE_FLAGS, moduleUrl } from "../support/repository.ts";
import { TempDirectory } from "../support/temp-directory.ts";
import { MemoryLog } from "../support/wire-fixture.ts";
import { at, hardState, hasher } from "./storage/log-fixture.ts";

const CLUSTER = "a".repeat(32) as ClusterId;
const MAIN = moduleUrl("master/main.ts");
/** Timeout of the process, in milliseconds. A process that runs longer does not end by itself. */
const END_MS_MAX = 30_000;

function start(flags: readonly string[]): ChildProcess {
  const script = `import(${JSON.stringify(MAIN)}).then(async ({ main }) => {
    process.exitCode = await main(${JSON.stringify(flags)});
  })`;
  return spawn(process.execPath, [...MODULE_FLAGS, "--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "pipe"],
    timeout: END_MS_MAX,
    killSignal: "SIGKILL",
  });
}

/** Makes the directory of master 1 of 3 whose state is lost: its log begins after entry 10. */
async function makeWithoutState(path: string): Promise<void> {
  const storage = await openMemberStorage({
    disk: new NodeDisk(path),
    stores: new LmdbStores(`${path}/stores`),
    hasher,
    random: new SystemRandom(),
    log: new MemoryLog(),
    clusterId: CLUSTER,
    memberId: 1 as MemberId,
    segmentBytes: 1 << 26,
    cacheBytes: 1 << 24,
    keptBytes: 1 << 26,
    founders: [1, 2, 3] as MemberId[],
  });
  await storage.log.settleDamage(at(0, 0).index);
  await storage.log.reset(at(10, 1), hardState(1, 1, 10));
  await storage.log.close();
}

/** Stops `child` with `signal` when it has logged a message that begins with `message`. */
async function stopAt(child: ChildProcess, message: string, signal: NodeJS.Signals) {
  assert.ok(child.stdout !== null);
  const exited = once(child, "exit");
  const lines: string[] = [];
  let isSent = false;
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line);
    if (isSent || !line.includes(`"message":"${message}`)) continue;
    isSent = true;
    child.kill(signal);
  }
  return { ended: await exited, text: lines.join("\n") };
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

  it("ends with 0 if it is stopped while its start waits for the state of a peer", async () => {
    await using directory = await TempDirectory.make();
    const path = `${directory.path}/data`;
    await makeWithoutState(path);
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      const child = start([
        ...["--data-dir", path, "--cluster-id", CLUSTER, "--member-id", "1", "--http", "none"],
        ...["--members", "1=127.0.0.1:1,2=127.0.0.1:2,3=127.0.0.1:3", "--listen", "127.0.0.1:0"],
      ]);
      const { ended, text } = await stopAt(child, "The state is lost", signal);
      assert.deepEqual(ended, [0, null], text);
      assert.match(text, /"message":"Stopped"/);
    }
  });
});
