import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { isAshlarError } from "../../../shared/base/errors.ts";
import { lockDataDirectory } from "../../../shared/platform/data-directory-lock.ts";
import { MODULE_FLAGS, moduleUrl } from "../../support/repository.ts";
import { TempDirectory } from "../../support/temp-directory.ts";

const inUseBy = (pid: number | undefined) => (error: unknown) =>
  isAshlarError(error, "ALREADY_EXISTS") && error.message.includes(`process ${pid}`);

interface Contender {
  readonly child: ChildProcess;
  readonly holds: boolean;
}

/** A process that requests the lock of `path`, and keeps it until it is killed. */
async function contend(path: string): Promise<Contender> {
  const module = moduleUrl("shared/platform/data-directory-lock.ts");
  const script = `
    const { lockDataDirectory } = await import(${JSON.stringify(module)});
    const tried = lockDataDirectory(${JSON.stringify(path)});
    process.stdout.write(await tried.then(() => "holds", () => "refused"));
    setInterval(() => {}, 1000);
  `;
  const options = [...MODULE_FLAGS, "--input-type=module", "-e", script];
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
  it("is held by one process at a time, and free after its release", async () => {
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

  it("is refused with the pid of the holder, and is free after kill -9 of the holder", async () => {
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

  it("is stale if another process has the pid of a dead holder", async () => {
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

  it("is acquired by exactly one of many concurrent processes after a stale lock", async () => {
    await using directory = await TempDirectory.make();
    await writeFile(`${directory.path}/ashlar.lock`, "stale");
    const contenders = await Promise.all([1, 2, 3].map(() => contend(directory.path)));
    for (const { child } of contenders) await kill(child);
    assert.equal(contenders.filter(({ holds }) => holds).length, 1);
  });

  it("does not remove the lock of another process on release", async () => {
    await using directory = await TempDirectory.make();
    const file = `${directory.path}/ashlar.lock`;
    const lock = await lockDataDirectory(directory.path);
    await writeFile(file, "another one's");
    await lock.release();
    assert.equal(await readFile(file, "utf8"), "another one's");
  });
});
