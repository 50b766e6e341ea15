import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { isAshlarError } from "../../../shared/base/errors.ts";
import { lockDataDirectory } from "../../../shared/platform/data-directory-lock.ts";
import { TempDirectory } from "../../support/temp-directory.ts";

const inUseBy = (pid: number | undefined) => (error: unknown) =>
  isAshlarError(error, "ALREADY_EXISTS") && error.message.includes(`process ${pid} `);

interface Contender {
  readonly child: ChildProcess;
  readonly holds: boolean;
}

/** A process that asks for the lock of `path`, and keeps what it got until it is killed. */
async function contend(path: string): Promise<Contender> {
  const module = new URL("../../../shared/platform/data-directory-lock.ts", import.meta.url).href;
  const script = `
    const { lockDataDirectory } = await import(${JSON.stringify(module)});
    const tried = lockDataDirectory(${JSON.stringify(path)});
    process.stdout.write(await tried.then(() => "holds", () => "refused"));
    setInterval(() => {}, 1000);
  `;
  const options = ["--import", "tsx", "--input-type=module", "-e", script];
  const child = spawn(process.execPath, options, { stdio: ["ignore", "pipe", "inherit"] });
  const [answer] = await once(child.stdout as NodeJS.ReadableStream, "data");
  return { child, holds: String(answer) === "holds" };
}

async function kill(child: ChildProcess): Promise<void> {
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}

describe("data directory lock", () => {
  it("is held by one at a time, and free after its release", async () => {
    await using directory = await TempDirectory.make();
    const path = `${directory.path}/made`;
    const lock = await lockDataDirectory(path);
    await assert.rejects(lockDataDirectory(path), inUseBy(process.pid));
    await lock.release();
    await lock.release();
    assert.deepEqual(await readdir(path), []);
    await using again = await lockDataDirectory(path);
    assert.ok(again);
  });

  it("names the other process, and is free once that was killed with -9", async () => {
    await using directory = await TempDirectory.make();
    const { child, holds } = await contend(directory.path);
    try {
      assert.ok(holds);
      await assert.rejects(lockDataDirectory(directory.path), inUseBy(child.pid));
    } finally {
      await kill(child);
    }
    await using lock = await lockDataDirectory(directory.path);
    assert.ok(lock);
  });

  it("does not take a process that got the number of a dead holder for that holder", async () => {
    await using directory = await TempDirectory.make();
    const file = `${directory.path}/ashlar.lock`;
    const first = await lockDataDirectory(directory.path);
    const holder = JSON.parse(await readFile(file, "utf8")) as Record<string, unknown>;
    const stale = [
      { ...holder, startTicks: "1" },
      { ...holder, bootId: "another boot" },
    ];
    for (const content of [...stale.map((one) => JSON.stringify(one)), "", "{}", "not JSON"]) {
      await writeFile(file, content);
      const lock = await lockDataDirectory(directory.path);
      await lock.release();
    }
    await first.release();
    assert.deepEqual(await readdir(directory.path), []);
  });

  it("goes to exactly one of many that ask at the same time, over a stale lock", async () => {
    await using directory = await TempDirectory.make();
    await writeFile(`${directory.path}/ashlar.lock`, "stale");
    const contenders = await Promise.all([1, 2, 3].map(() => contend(directory.path)));
    for (const { child } of contenders) await kill(child);
    assert.equal(contenders.filter(({ holds }) => holds).length, 1);
  });

  it("leaves a lock alone that is not its own any more", async () => {
    await using directory = await TempDirectory.make();
    const file = `${directory.path}/ashlar.lock`;
    const lock = await lockDataDirectory(directory.path);
    await writeFile(file, "another one's");
    await lock.release();
    assert.equal(await readFile(file, "utf8"), "another one's");
  });
});
